/**
 * `<confusion-matrix>`: a confusion matrix on a canvas, up to 2,000 labels.
 *
 *   const matrix = document.createElement('confusion-matrix');
 *   matrix.show({ labels: ['cat', 'dog'], cells: [0, 0, 7, 0, 1, 2, 1, 1, 9] });   // true, predicted, count, …
 *   matrix.set({ values: 'true', diagonal: false });
 *   matrix.addEventListener('cell-select', (event) => event.detail);               // { true: 0, predicted: 1 }
 *
 * Cells are named by the indices of their true and their predicted label; the index K is *no label*. How they lie on
 * the screen (order, orientation, zoom) is the element's own affair. Everything is painted once; pointer and keyboard
 * repaint an overlay only, so the cost of hovering does not grow with the number of labels.
 */

import { Counts, FEW, WIDE, bare, number, sentenceOf, sequence, short, shortened, unbroken, wilson } from './numbers.js';
import { DARK, FONT, LIGHT, bar, hatch, ramp, write } from './colours.js';
import { SHEET } from './sheet.js';

/** @typedef {import('./numbers.js').MatrixData} MatrixData */
/** @typedef {'count' | 'true' | 'pred'} Values */
/** @typedef {'given' | 'name' | 'support' | 'recall' | 'similarity'} Order */
/** @typedef {{ values: Values, orientation: 'true' | 'aws', order: Order, scale: 'log' | 'linear', diagonal: boolean }} Settings */
/** @typedef {{ left: number, top: number, right: number, bottom: number, cell: number, width: number, height: number }} Layout */
/** @typedef {{ x: number, y: number, wide: number, high: number, firstCol: number, lastCol: number, firstRow: number, lastRow: number }} View */

const TOTALS = 54; // pixels from the grid to the end of its totals
const GAP = 8; // pixels that set *no label* apart
const NUMBERS_FROM = 18; // a cell of so many pixels holds its number
const NAMES_FROM = 11; // and so many its label's name

export class ConfusionMatrix extends HTMLElement {
  /** @type {Settings} */
  settings = { values: 'count', orientation: 'true', order: 'given', scale: 'log', diagonal: true };
  /** @type {MatrixData} */
  data = { labels: [], cells: [] };
  counts = new Counts(this.data);
  /** What the pointer or the keyboard is on, in places on the screen. @type {{ row: number, col: number } | null} */
  #active = null;
  /** @type {{ true: number, predicted: number } | null} */ selected = null;
  /** @type {Set<number>} */ #found = new Set();
  #zoom = 1;
  #printing = false;
  /** @type {number[]} */ #rows = [];
  /** @type {number[]} */ #cols = [];
  /** @type {Layout} */ #lay = { left: 0, top: 0, right: 0, bottom: 0, cell: 0, width: 0, height: 0 };
  /** The value that the darkest colour stands for. */
  most = 1;
  /** 256 steps from little to much. */
  ramp = ramp(LIGHT.ramp);
  #colour = LIGHT;
  /** @type {HTMLCanvasElement | null} */ #bitmap = null;
  /** @type {Map<string, number>} */ #widths = new Map();
  #frame = 0;

  constructor() {
    super();
    const root = this.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [SHEET];
    root.innerHTML = `<div class="frame"><div class="scroller" tabindex="0" role="application" aria-roledescription="confusion matrix">
      <div class="spacer"></div><div class="stage"><canvas class="base"></canvas><canvas class="over"></canvas></div></div>
      <div class="zoom" hidden><button data-by="1.5" title="Zoom in (+)" aria-label="Zoom in">+</button><button data-by="0.6667"
      title="Zoom out (−)" aria-label="Zoom out">−</button><button data-by="0" title="Show the whole matrix (0)">fit</button></div>
      <div class="tip" hidden></div></div><div class="said" aria-live="polite" role="status"></div>`;
    const get = (/** @type {string} */ name) => /** @type {HTMLElement} */ (root.querySelector(name));
    this.scroller = get('.scroller');
    this.spacer = get('.spacer');
    this.stage = get('.stage');
    this.tip = get('.tip');
    this.said = get('.said');
    this.zoomer = get('.zoom');
    this.base = /** @type {HTMLCanvasElement} */ (get('.base'));
    this.over = /** @type {HTMLCanvasElement} */ (get('.over'));
    this.scroller.addEventListener('scroll', () => {
      this.#frame ||= requestAnimationFrame(() => { this.#frame = 0; this.#paint(); });
    });
    this.scroller.addEventListener('keydown', (event) => this.#key(event));
    this.scroller.addEventListener('focus', () => this.#focus());
    this.scroller.addEventListener('blur', () => this.#point(null));
    this.scroller.addEventListener('wheel', (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 200), event.offsetX, event.offsetY);
    }, { passive: false });
    this.over.addEventListener('pointermove', (event) => this.#point(this.#hit(event), event));
    this.over.addEventListener('pointerleave', () => this.#point(null));
    this.over.addEventListener('click', (event) => {
      const place = this.#hit(event);
      if (place) this.select(...this.#labels(place));
    });
    this.zoomer.addEventListener('click', ({ target }) => this.zoom(Number(/** @type {HTMLElement} */ (target).dataset.by ?? 1)));
  }

  connectedCallback() {
    this.leaving = new AbortController();
    const until = { signal: this.leaving.signal };
    this.observer = new ResizeObserver(() => this.#arrange());
    this.observer.observe(this);
    this.dark = matchMedia('(prefers-color-scheme: dark)');
    this.dark.addEventListener('change', this.#repaint, until);
    matchMedia('print').addEventListener('change', this.#print, until);
    for (const type of ['beforeprint', 'afterprint']) window.addEventListener(type, this.#print, until);
    this.#repaint();
  }

  disconnectedCallback() {
    this.observer?.disconnect();
    this.leaving?.abort();
  }

  #print = (/** @type {Event} */ event) => {
    this.#printing = event.type === 'beforeprint' || /** @type {MediaQueryListEvent} */ (event).matches === true;
    this.#zoom = 1;
    this.#repaint();
  };

  #repaint = () => {
    this.#colour = this.dark?.matches && !this.#printing ? DARK : LIGHT;
    this.ramp = ramp(this.#colour.ramp);
    this.#arrange();
  };

  /** Show other counts; the settings, and the selection where its labels still exist, stay. */
  show(/** @type {MatrixData} */ data) {
    if (data.labels !== this.data.labels) [this.#active, this.selected] = [null, null];
    this.data = data;
    this.counts = new Counts(data);
    this.#arrange();
  }

  set(/** @type {Partial<Settings>} */ settings) {
    Object.assign(this.settings, settings);
    this.#active = null;
    this.#arrange();
  }

  /** Mark a cell as selected and bring it into view. */
  select(/** @type {number} */ t, /** @type {number} */ p) {
    this.selected = { true: t, predicted: p };
    const place = this.#chosen();
    if (place) this.#reveal(place);
    this.#mark();
    this.dispatchEvent(new CustomEvent('cell-select', { detail: this.selected, bubbles: true }));
  }

  /** Mark the labels whose name contains `text`, bring the `nth` of them into view; returns how many there are. */
  find(/** @type {string} */ text, nth = 0) {
    const wanted = text.trim().toLowerCase();
    const hits = wanted ? this.#rows.filter((i) => (this.data.labels[i] ?? 'no label').toLowerCase().includes(wanted)) : [];
    this.#found = new Set(hits);
    if (hits.length) {
      const at = hits[nth % hits.length];
      if (this.#lay.cell < NAMES_FROM) this.zoom(14 / this.#lay.cell);
      this.#reveal(this.#place(at, at) ?? { row: this.#rows.indexOf(at), col: 0 });
    }
    this.#paint();
    return hits.length;
  }

  /** Enlarge by a factor, keeping the place at (x, y) of the stage; 0 shows the whole matrix. */
  zoom(/** @type {number} */ by, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const { cell, left, top } = this.#lay;
    const [col, row] = [(this.scroller.scrollLeft + x - left) / cell, (this.scroller.scrollTop + y - top) / cell];
    this.#zoom = by === 0 ? 1 : Math.max(1, this.#zoom * Math.min(by, 64 / cell));
    this.#arrange();
    this.scroller.scrollTo(col * this.#lay.cell + this.#lay.left - x, row * this.#lay.cell + this.#lay.top - y);
  }

  /** What a cell says, in parts: with both denominators and their intervals. */
  describe(/** @type {number} */ t, /** @type {number} */ p) {
    return sentenceOf(this.counts, t, p);
  }

  /** The same as plain text. */
  sentence(/** @type {number} */ t, /** @type {number} */ p) {
    return this.describe(t, p).map((part) => part.text).join('');
  }

  /** Where a cell lies on the screen, or null where it is not shown. */
  #place(/** @type {number} */ t, /** @type {number} */ p) {
    const [a, b] = this.settings.orientation === 'true' ? [t, p] : [p, t];
    const [row, col] = [this.#rows.indexOf(a), this.#cols.indexOf(b)];
    return row < 0 || col < 0 ? null : { row, col };
  }

  #chosen() {
    return this.selected && this.#place(this.selected.true, this.selected.predicted);
  }

  /** The true and predicted label of a place. @returns {[number, number]} */
  #labels(/** @type {{ row: number, col: number }} */ { row, col }) {
    const [a, b] = [this.#rows[row], this.#cols[col]];
    return this.settings.orientation === 'true' ? [a, b] : [b, a];
  }

  /** Share or count that a cell's colour stands for. */
  #value(/** @type {number} */ t, /** @type {number} */ p) {
    const n = this.counts.at(t, p);
    if (this.settings.values === 'count') return n;
    const of = this.settings.values === 'true' ? this.counts.rows[t] : this.counts.cols[p];
    return of ? n / of : NaN;
  }

  /** Step of the ramp for a cell, -1 for nothing there. */
  #tint(/** @type {number} */ t, /** @type {number} */ p) {
    const value = this.#value(t, p);
    if (!(value > 0) || (t === p && !this.settings.diagonal)) return -1;
    const k = this.settings.values === 'count' ? 0.4 : 200;
    const part = this.settings.scale === 'log' ? Math.log1p(k * value) / Math.log1p(k * this.most) : value / this.most;
    return Math.min(255, Math.round(10 + 245 * part));
  }

  /** Decide sizes, size the canvases, paint. */
  #arrange() {
    const { counts } = this;
    if (!this.isConnected || !counts.k) return;
    const ordered = sequence(counts, this.data, this.settings.order);
    const truth = counts.rows[counts.k] ? [...ordered, counts.k] : ordered;
    const guess = counts.cols[counts.k] ? [...ordered, counts.k] : ordered;
    [this.#rows, this.#cols] = this.settings.orientation === 'true' ? [truth, guess] : [guess, truth];
    this.most = 0;
    for (const t of truth) for (const p of guess) {
      if (t !== p || this.settings.diagonal) this.most = Math.max(this.most, this.#value(t, p) || 0);
    }
    this.most ||= 1;
    const lay = (this.#lay = this.#sizes());
    const isWhole = this.#printing || (this.#zoom === 1 && lay.height < innerHeight * 1.25);
    const viewport = isWhole ? lay.height : Math.max(360, innerHeight * 0.88);
    const scale = this.#printing ? 3 : devicePixelRatio || 1;
    const [wide, high] = [Math.min(lay.width, (this.#printing ? 690 : this.clientWidth)), Math.min(lay.height, viewport)];
    this.scroller.style.maxHeight = `${Math.ceil(high)}px`;
    Object.assign(this.spacer.style, { width: `${lay.width}px`, height: `${lay.height}px` });
    Object.assign(this.stage.style, { width: `${wide}px`, height: `${high}px` });
    for (const canvas of [this.base, this.over]) {
      [canvas.width, canvas.height] = [Math.round(wide * scale), Math.round(high * scale)];
      Object.assign(canvas.style, { width: `${wide}px`, height: `${high}px` });
      canvas.getContext('2d')?.setTransform(scale, 0, 0, scale, 0, 0);
    }
    this.zoomer.hidden = this.#printing || (this.#zoom === 1 && lay.cell >= 24);
    this.scroller.setAttribute('aria-label', `${counts.k} labels, ${this.#axis('row')} on rows, ${this.#axis('col')} on columns.`
      + ' Arrow keys move through the cells, Enter shows the images of a cell.');
    this.#bitmap = null;
    this.#paint();
  }

  /** @returns {Layout} */
  #sizes() {
    const [rows, cols] = [this.#rows.length, this.#cols.length];
    const available = (this.#printing ? 690 : this.clientWidth);
    const narrow = available < 520;
    const longest = Math.max(...this.#rows.concat(this.#cols).map((i) => this.#width(this.counts.name(i), 12)));
    const [gapX, gapY] = [cols > this.counts.k ? GAP : 0, rows > this.counts.k ? GAP : 0];
    const named = Math.min(Math.max(longest, narrow ? 0 : 62), narrow ? 84 : 170, available * 0.3);
    /** @type {(cell: number) => Layout} */
    const around = (cell) => {
      const upright = cell >= longest + 8;
      const names = cell >= NAMES_FROM;
      const [left, top] = names ? [named + 34, 30 + (upright ? 16 : Math.min(cell >= 15 ? longest * 0.71 + 10 : longest + 14, narrow ? 84 : 124))] : [30, 30];
      const [right, bottom] = names ? [narrow ? 46 : 122, cell >= 26 ? 42 : 26] : [14, 14];
      const lean = names && !upright ? Math.max(right, Math.min(longest, 150) * 0.71 - cell / 2 + 8) : right;
      return { left, top, right: lean, bottom, cell, width: left + cols * cell + gapX + lean, height: top + rows * cell + gapY + bottom };
    };
    // The margins depend on whether names fit, and whether names fit depends on the margins: try with names first.
    const most = cols <= 4 ? 108 : 62;
    const tall = Math.max(420, this.#printing ? 620 : innerHeight * (cols > 60 ? 1.15 : 0.86));
    const fit = (/** @type {Layout} */ { left, top, right, bottom }) => Math.min(
      most, (available - left - right - gapX) / cols, Math.max(cols > 30 ? 0 : 30, (tall - top - bottom - gapY) / rows));
    let cell = fit(around(NAMES_FROM));
    cell = cell >= NAMES_FROM ? Math.min(cell, fit(around(cell))) : fit(around(1));
    if (cols <= 30) cell = Math.max(cell, 22);
    cell = Math.min(cell * this.#zoom, Math.max(72, most));
    const dots = (devicePixelRatio || 1) * (cell < 7 ? 2 : 1);
    return around(Math.max(1, Math.floor(cell * dots) / dots));
  }

  #axis(/** @type {'row' | 'col'} */ side) {
    return (side === 'row') === (this.settings.orientation === 'true') ? 'true label' : 'predicted label';
  }

  #width(/** @type {string} */ text, /** @type {number} */ size) {
    const key = `${size} ${text}`;
    let width = this.#widths.get(key);
    if (width === undefined) {
      const g = /** @type {CanvasRenderingContext2D} */ (this.base.getContext('2d'));
      g.font = `${size}px ${FONT}`;
      width = g.measureText(text).width;
      this.#widths.set(key, width);
    }
    return width;
  }

  /** `text` in at most `room` pixels of the usual size. */
  #fit(/** @type {string} */ text, /** @type {number} */ room) {
    return shortened(text, room, (part) => this.#width(part, 12));
  }

  /** Distance of the nth row or column from the first. */
  #offset(/** @type {number} */ i) {
    return i * this.#lay.cell + (i >= this.counts.k ? GAP : 0);
  }

  /** What is in view: the place scrolled to, its room, first and last rows and columns. @returns {View} */
  #window() {
    const { left, top, right, bottom, cell } = this.#lay;
    const [x, y] = [this.scroller.scrollLeft, this.scroller.scrollTop];
    const [wide, high] = [this.stage.clientWidth - left - right, this.stage.clientHeight - top - bottom];
    const until = (/** @type {number} */ n, /** @type {number} */ at) => Math.min(n - 1, Math.ceil(at / cell));
    return {
      x, y, wide, high,
      firstCol: Math.max(0, Math.floor((x - GAP) / cell)), lastCol: until(this.#cols.length, x + wide),
      firstRow: Math.max(0, Math.floor((y - GAP) / cell)), lastRow: until(this.#rows.length, y + high),
    };
  }

  #paint() {
    const g = this.base.getContext('2d');
    if (!g || !this.counts.k || !this.isConnected) return;
    const { left, top, cell } = this.#lay;
    const view = this.#window();
    g.fillStyle = this.#colour.paper;
    g.fillRect(0, 0, this.stage.clientWidth, this.stage.clientHeight);
    g.save();
    g.beginPath();
    g.rect(left, top, view.wide, view.high);
    g.clip();
    g.translate(left - view.x, top - view.y);
    if (cell < 7) this.#paintBitmap(g);
    else this.#paintCells(g, view);
    g.restore();
    this.#paintNames(g, view);
    this.#mark();
  }

  #paintBitmap(/** @type {CanvasRenderingContext2D} */ g) {
    const { cell } = this.#lay;
    const [rows, cols, k] = [this.#rows.length, this.#cols.length, this.counts.k];
    this.#bitmap ??= this.#rasterise();
    g.imageSmoothingEnabled = false;
    for (const [r, h] of [[0, k], [k, rows - k]]) for (const [c, w] of [[0, k], [k, cols - k]]) {
      if (h && w) g.drawImage(this.#bitmap, c, r, w, h, this.#offset(c), this.#offset(r), w * cell, h * cell);
    }
    g.strokeStyle = this.#colour.line;
    g.strokeRect(0.5, 0.5, k * cell, k * cell);
  }

  /** One pixel a cell. */
  #rasterise() {
    const canvas = Object.assign(document.createElement('canvas'), { width: this.#cols.length, height: this.#rows.length });
    const g = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    const image = g.createImageData(canvas.width, canvas.height);
    for (let at = 0, row = 0; row < canvas.height; row++) for (let col = 0; col < canvas.width; col++, at += 4) {
      const step = this.#tint(...this.#labels({ row, col }));
      if (step >= 0) image.data.set([...this.ramp[Math.max(step, 105)].rgb, 255], at);
    }
    g.putImageData(image, 0, 0);
    return canvas;
  }

  #paintCells(/** @type {CanvasRenderingContext2D} */ g, /** @type {View} */ view) {
    const { cell } = this.#lay;
    const lines = hatch(g);
    [g.textAlign, g.textBaseline] = ['center', 'middle'];
    for (let row = view.firstRow; row <= view.lastRow; row++) for (let col = view.firstCol; col <= view.lastCol; col++) {
      const [t, p] = this.#labels({ row, col });
      const [x, y] = [this.#offset(col), this.#offset(row)];
      const step = this.#tint(t, p);
      if (t === p && !this.settings.diagonal) {
        g.fillStyle = this.#colour.line;
        g.fillRect(x + cell / 2 - 3, y + cell / 2 - 0.5, 6, 1);
        continue;
      }
      if (step < 0) {
        g.fillStyle = this.#colour.faint;
        const dot = cell >= NUMBERS_FROM ? 1.2 : cell >= NAMES_FROM ? 0.6 : 0;
        g.fillRect(x + cell / 2 - dot, y + cell / 2 - dot, 2 * dot, 2 * dot);
        continue;
      }
      const shade = this.ramp[step];
      g.fillStyle = shade.css;
      g.fillRect(x + 0.5, y + 0.5, cell - 1, cell - 1);
      const of = this.settings.values === 'pred' ? this.counts.cols[p] : this.counts.rows[t];
      const [low, high] = wilson(this.counts.at(t, p), of);
      if (high - low > WIDE && cell >= 12) {
        g.fillStyle = lines[shade.ink === '#ffffff' ? 1 : 0];
        g.fillRect(x + 0.5, y + 0.5, cell - 1, cell - 1);
      }
      if (cell >= NUMBERS_FROM) this.#paintNumber(g, t, p, { x: x + cell / 2, y: y + cell / 2, ink: shade.ink });
    }
  }

  /** Count and share, as much of both as the cell has room for. */
  #paintNumber(/** @type {CanvasRenderingContext2D} */ g, /** @type {number} */ t, /** @type {number} */ p, /** @type {{ x: number, y: number, ink: string }} */ { x, y, ink }) {
    const { cell } = this.#lay;
    const n = this.counts.at(t, p);
    const of = this.settings.values === 'pred' ? this.counts.cols[p] : this.counts.rows[t];
    const share = `${bare(n, of)}\u00a0%`;
    const two = cell >= 44;
    const size = Math.round(Math.max(9, Math.min(two ? cell * 0.29 : cell * 0.42, cell > 80 ? 24 : 15)));
    const isCount = this.settings.values === 'count';
    const choices = isCount ? [number(n), short(n)] : [share, bare(n, of)];
    const text = choices.find((choice) => this.#width(choice, size) <= cell - 4);
    g.fillStyle = ink;
    g.font = `${size}px ${FONT}`;
    if (text) g.fillText(text, x, two ? y - size * 0.42 : y + 0.5);
    if (!two) return;
    const second = isCount ? share : [number(n), short(n)].find((choice) => this.#width(choice, size * 0.72) <= cell - 4) ?? '';
    g.globalAlpha = 0.78;
    g.font = `${Math.round(size * 0.72)}px ${FONT}`;
    g.fillText(second, x, y + size * 0.62);
    g.globalAlpha = 1;
  }

  /** Names, totals and the words of the axes; the true axis in ink, the predicted one in the accent's colour. */
  #paintNames(/** @type {CanvasRenderingContext2D} */ g, /** @type {View} */ view) {
    const { left, top, right, bottom, cell } = this.#lay;
    const axes = { row: this.#axis('row'), col: this.#axis('col') };
    const [endX, endY] = [left + Math.min(view.wide, this.#offset(this.#cols.length) - view.x), top + Math.min(view.high, this.#offset(this.#rows.length) - view.y)];
    const tone = (/** @type {string} */ axis) => (axis === 'true label' ? this.#colour.ink : this.#colour.accent);
    write(g, `${axes.col} → columns`, { x: left, y: 11, tone: tone(axes.col), weight: 600 });
    g.save();
    g.translate(11, top);
    g.rotate(-Math.PI / 2);
    write(g, `rows ← ${axes.row}`, { x: 0, y: 0, tone: tone(axes.row), weight: 600, align: 'right' });
    g.restore();
    if (cell < NAMES_FROM) return;
    const wide = right >= 100;
    const [rowTotals, colTotals] = this.settings.orientation === 'true' ? [this.counts.rows, this.counts.cols] : [this.counts.cols, this.counts.rows];
    const nouns = this.settings.orientation === 'true' ? ['images', 'recall', 'predictions', 'precision'] : ['predictions', 'precision', 'images', 'recall'];
    if (this.data.unit === 'label decisions') nouns.splice(0, 4, ...nouns.map((noun) => ({ images: 'decisions', recall: 'right', precision: 'right' })[noun] ?? noun));
    // Below the totals, for above them the names of the columns lean over.
    const small = { tone: this.#colour.muted, size: 10.5 };
    if (wide || nouns[0] === 'images') write(g, nouns[0], { x: endX + (wide ? TOTALS : 40), y: endY + 13, align: 'right', ...small });
    if (wide) write(g, nouns[1], { x: endX + TOTALS + 10, y: endY + 13, ...small });
    if (bottom >= 40 && left > 90) write(g, nouns[2], { x: left - 8, y: endY + 13, align: 'right', ...small });
    if (bottom >= 40 && left > 90) write(g, nouns[3], { x: left - 8, y: endY + 27, align: 'right', ...small });
    for (const side of /** @type {const} */ (['row', 'col'])) {
      g.save();
      g.beginPath();
      if (side === 'row') g.rect(0, top - 1, left + view.wide + right, view.high + 2);
      else g.rect(left - 2, 14, view.wide + right + 2, top + view.high + bottom);
      g.clip();
      if (side === 'row') for (let i = view.firstRow; i <= view.lastRow; i++) this.#paintRow(g, i, { endX, wide, y: top - view.y + this.#offset(i) + cell / 2, total: rowTotals });
      else for (let i = view.firstCol; i <= view.lastCol; i++) this.#paintColumn(g, i, { endY, x: left - view.x + this.#offset(i) + cell / 2, total: colTotals });
      g.restore();
    }
  }

  #paintRow(/** @type {CanvasRenderingContext2D} */ g, /** @type {number} */ i, /** @type {{ endX: number, wide: boolean, y: number, total: Float64Array }} */ { endX, wide, y, total }) {
    const label = this.#rows[i];
    const { left } = this.#lay;
    write(g, this.#fit(this.counts.name(label), left - 32), { x: left - 8, y, tone: this.#tone(label, 'row'), align: 'right' });
    write(g, total[label] >= 1e5 ? short(total[label]) : number(total[label]), { x: endX + (wide ? TOTALS : 40), y, tone: this.#colour.muted, align: 'right' });
    if (wide && label < this.counts.k) bar(g, this.#colour, { x: endX + TOTALS + 10, y: y - 2, width: 46, share: this.counts.at(label, label) / total[label] });
  }

  #paintColumn(/** @type {CanvasRenderingContext2D} */ g, /** @type {number} */ i, /** @type {{ endY: number, x: number, total: Float64Array }} */ { endY, x, total }) {
    const label = this.#cols[i];
    const { top, cell, bottom } = this.#lay;
    const name = this.counts.name(label);
    const tone = this.#tone(label, 'col');
    if (top < 50) write(g, name, { x, y: top - 12, tone, align: 'center' });
    else {
      g.save();
      g.translate(x + 1, top - 9);
      g.rotate(cell >= 15 ? -Math.PI / 4 : -Math.PI / 2);
      write(g, this.#fit(name, cell >= 15 ? (top - 40) / 0.71 : top - 40), { x: 0, y: cell >= 15 ? -3 : 0, tone });
      g.restore();
    }
    if (cell < 26) return;
    const text = [number(total[label]), short(total[label])].find((choice) => this.#width(choice, 12) < cell - 4);
    if (text) write(g, text, { x, y: endY + 13, tone: this.#colour.muted, align: 'center' });
    const width = Math.min(46, cell - 10);
    if (bottom >= 40 && label < this.counts.k) bar(g, this.#colour, { x: x - width / 2, y: endY + 25, width, share: this.counts.at(label, label) / total[label] });
  }

  #tone(/** @type {number} */ label, /** @type {'row' | 'col'} */ side) {
    if (label === this.counts.k || this.counts.rows[label] < FEW) return this.#colour.muted;
    return this.#axis(side) === 'true label' ? this.#colour.ink : this.#colour.accent;
  }

  /** Repaint the overlay: what is found, pointed at and selected. */
  #mark() {
    const g = this.over.getContext('2d');
    if (!g) return;
    const { left, top, cell } = this.#lay;
    const { x, y, wide, high } = this.#window();
    g.clearRect(0, 0, this.stage.clientWidth, this.stage.clientHeight);
    g.save();
    g.beginPath();
    g.rect(0, 0, left + wide + 1, top + high + 1);
    g.clip();
    const [x0, y0] = [left - x, top - y];
    // Only beside the grid: a tint over the cells would change what their colours say.
    const margins = new Path2D();
    margins.rect(0, 0, left + wide + 1, top + high + 1);
    margins.rect(left, top, wide, high);
    const edges = cell < 6 ? [cell / 2 - 0.5] : [0, cell - 1];
    const band = (/** @type {number} */ row, /** @type {number} */ col) => {
      g.save();
      g.clip(margins, 'evenodd');
      g.fillStyle = this.#colour.band;
      if (row >= 0) g.fillRect(18, y0 + this.#offset(row), left - 18, cell);
      if (col >= 0) g.fillRect(x0 + this.#offset(col), 20, cell, top - 20);
      g.restore();
      g.fillStyle = this.#colour.rule;
      const [w, h] = [Math.min(wide, this.#offset(this.#cols.length)), Math.min(high, this.#offset(this.#rows.length))];
      if (row >= 0) for (const edge of edges) g.fillRect(left, y0 + this.#offset(row) + edge, w, 1);
      if (col >= 0) for (const edge of edges) g.fillRect(x0 + this.#offset(col) + edge, top, 1, h);
    };
    for (const label of this.#found) band(this.#rows.indexOf(label), this.#cols.indexOf(label));
    if (this.#active) band(this.#active.row, this.#active.col);
    g.beginPath();
    g.rect(left - 3, top - 3, wide + 6, high + 6);
    g.clip();
    const ring = (/** @type {{ row: number, col: number }} */ place, /** @type {string} */ colour, /** @type {number} */ width) => {
      const grow = Math.max(0, 5 - cell / 2);
      g.strokeStyle = colour;
      g.lineWidth = width;
      g.strokeRect(x0 + this.#offset(place.col) - grow, y0 + this.#offset(place.row) - grow, cell + 2 * grow, cell + 2 * grow);
    };
    const chosen = this.#chosen();
    if (chosen) ring(chosen, this.#colour.accent, 3);
    if (this.#active) ring(this.#active, this.#colour.ink, 2);
    g.restore();
  }

  /** The place under a pointer, or null. */
  #hit(/** @type {MouseEvent} */ event) {
    const { left, top, cell } = this.#lay;
    const view = this.#window();
    const along = (/** @type {number} */ at, /** @type {number} */ n) => {
      const k = this.counts.k;
      const i = at < k * cell ? Math.floor(at / cell) : at < k * cell + GAP ? -1 : k + Math.floor((at - k * cell - GAP) / cell);
      return i < n ? i : -1;
    };
    const [x, y] = [event.offsetX - left, event.offsetY - top];
    if (x < 0 || y < 0 || x >= view.wide || y >= view.high) return null;
    const [col, row] = [along(x + view.x, this.#cols.length), along(y + view.y, this.#rows.length)];
    return row < 0 || col < 0 ? null : { row, col };
  }

  /** Point at a place: overlay, sentence, event. Without an event the keyboard did it, and the sentence is said. */
  #point(/** @type {{ row: number, col: number } | null} */ place, /** @type {MouseEvent | undefined} */ event = undefined) {
    const before = this.#active;
    this.#active = place;
    this.tip.hidden = !place;
    if (!place && before) this.#mark();
    if (!place) return;
    const [t, p] = this.#labels(place);
    if (before?.row !== place.row || before?.col !== place.col) {
      this.tip.replaceChildren(...this.describe(t, p).map(({ text, axis }) => {
        const part = document.createElement(axis === 'true' ? 'b' : axis ? 'i' : 'span');
        part.textContent = unbroken(text);
        return part;
      }));
      if (!event) this.said.textContent = this.sentence(t, p);
      this.#mark();
      this.dispatchEvent(new CustomEvent('cell-point', { detail: { true: t, predicted: p }, bubbles: true }));
    }
    const { left, top, cell } = this.#lay;
    const x = event?.offsetX ?? left + this.#offset(place.col) + cell - this.scroller.scrollLeft;
    const y = event?.offsetY ?? top + this.#offset(place.row) + cell - this.scroller.scrollTop;
    const flip = x > this.stage.clientWidth - 260;
    this.tip.style.transform = `translate(${flip ? Math.max(0, x - 316) : x + 16}px, ${y + 18}px)`;
  }

  /** Scroll so that a place is in view. */
  #reveal(/** @type {{ row: number, col: number }} */ { row, col }) {
    const { cell } = this.#lay;
    const { x, y, wide, high } = this.#window();
    const into = (/** @type {number} */ at, /** @type {number} */ from, /** @type {number} */ room) => (at >= from && at + cell <= from + room ? from : at - room / 2 + cell / 2);
    this.scroller.scrollTo(into(this.#offset(col), x, wide), into(this.#offset(row), y, high));
  }

  #focus() {
    if (!this.#active && this.counts.k && this.scroller.matches(':focus-visible')) this.#point(this.#chosen() ?? { row: 0, col: 0 });
  }

  #key(/** @type {KeyboardEvent} */ event) {
    const { row, col } = this.#active ?? { row: 0, col: 0 };
    const [lastRow, lastCol] = [this.#rows.length - 1, this.#cols.length - 1];
    /** @type {Record<string, [number, number]>} */
    const moves = {
      ArrowUp: [row - 1, col], ArrowDown: [row + 1, col], ArrowLeft: [row, col - 1], ArrowRight: [row, col + 1],
      PageUp: [row - 10, col], PageDown: [row + 10, col],
      Home: [event.ctrlKey ? 0 : row, 0], End: [event.ctrlKey ? lastRow : row, lastCol],
    };
    const by = { '+': 1.5, '-': 1 / 1.5, 0: 0 }[event.key];
    if (event.key in moves) {
      const clamp = (/** @type {number} */ i, /** @type {number} */ last) => Math.min(last, Math.max(0, i));
      const place = { row: clamp(moves[event.key][0], lastRow), col: clamp(moves[event.key][1], lastCol) };
      this.#reveal(place);
      this.#point(place);
    } else if (event.key === 'Enter' || event.key === ' ') this.select(...this.#labels({ row, col }));
    else if (event.key === 'Escape') this.#point(null);
    else if (by !== undefined && !event.ctrlKey && !event.metaKey) this.zoom(by);
    else return;
    event.preventDefault();
  }
}

customElements.define('confusion-matrix', ConfusionMatrix);
