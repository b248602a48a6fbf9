/**
 * The page around the matrix: one state, and one function a part that shows it.
 *
 * `state.rule` decides which counts are in force; headline, findings, matrix, images and table all come from them, so
 * that no two numbers on the page can disagree. Names of labels and files enter the page as text only.
 */

import { Counts, FEW, number, percent, plain, range, sentenceOf, unbroken, wilson } from './numbers.js';

/** @typedef {{ name: string, value: number | null, low: number | null, high: number | null, about: string, is_share: boolean }} Headline */
/** @typedef {{ kind: string, sentence: string, advice: string, cell: [number, number] | null, rate: { share: number, low: number, high: number } | null }} Finding */
/** @typedef {[number | null, number | null, number | null]} Rate */
/** @typedef {{ support: number[], predicted: number[], precision: Rate[], recall: Rate[], f1: Rate[] }} Scores */
/** @typedef {{ name: string, title: string, explanation: string, stamp: string, cells: number[], sums: [number[], number[]] | null, headline: Headline[], scores: Scores, thresholds: (number | null)[] | null, findings: Finding[] }} Rule */
/** @typedef {{ uri: string, p: number | null, cells: number[][], thumbnail?: string, missing?: number }} Picture */
/** @typedef {{ level: string, code: string, message: string, where: string, split: string | null }} Problem */

const data = JSON.parse(/** @type {HTMLElement} */ (document.getElementById('data')).textContent ?? '');
/** @type {string[]} */ const labels = data.labels;
/** @type {string[]} The labels as they are shown: two that look the same by what tells them apart. */ const names = data.names;
/** @type {Rule[]} */ const rules = data.rules;
/** @type {Picture[]} */ const pictures = data.images;
const K = labels.length;
const isDrawn = !rules[0].sums;
const isDecisions = data.unit === 'label decisions';
const MANY = 100; // rows of a table, and images of a cell, shown at once

const state = {
  rule: 0,
  /** @type {[number, number] | null} */ cell: null,
  surest: false,
  sort: 'given',
  isDown: false,
  all: { findings: false, labels: false, problems: false, images: false },
  scaleChosen: false,
  nth: 0,
};
let isStarted = false;
const counts = rules.map((rule) => new Counts({ labels: names, cells: rule.cells, unit: data.unit, sums: rule.sums }));

/** @template {HTMLElement} T @param {string} selector @returns {T} */
const get = (selector) => /** @type {T} */ (document.querySelector(selector));
const matrix = /** @type {import('./matrix.js').ConfusionMatrix} */ (get('confusion-matrix'));

/** An element with properties, dataset and children; texts become text. @param {Record<string, any>} props @param {(Node | string | null)[]} children */
function el(/** @type {string} */ tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key.includes('-')) element.setAttribute(key, value);
    else if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else Object.assign(element, { [key]: value });
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const nameOf = (/** @type {number} */ i) => counts[0].name(i);
const share = (/** @type {number | null} */ value, digits = 1) => (value === null ? '–' : percent(value, digits));
const noun = isDecisions ? 'decisions' : 'images';

/** A label, isolated so that a name that runs from right to left leaves its neighbours alone. */
function tag(/** @type {number} */ i, /** @type {string} */ axis) {
  return el('bdi', { className: `label ${axis}${i === K ? ' none' : ''}` }, nameOf(i));
}

/** An interval on the way from 0 to 1, with its value. */
function whisker(/** @type {number | null} */ value, /** @type {number | null} */ low, /** @type {number | null} */ high) {
  if (value === null || low === null || high === null) return el('span', { className: 'whisker empty' });
  const span = el('span', { className: 'span' });
  span.style.left = `${100 * low}%`;
  span.style.width = `${100 * (high - low)}%`;
  const dot = el('span', { className: 'dot' });
  dot.style.left = `${100 * value}%`;
  return el('span', { className: 'whisker', 'aria-hidden': 'true' }, span, dot);
}

/** What the page is a view of, under the rule in force. */
function stampText() {
  return rules[state.rule].stamp;
}

function showStamp() {
  for (const place of document.querySelectorAll('.stamp')) place.textContent = plain(stampText());
}

function showRules() {
  const box = get('#rules');
  box.hidden = rules.length < 2;
  box.append(...rules.map((rule, i) => el('label', { title: rule.explanation },
    el('input', { type: 'radio', name: 'rule', value: String(i), checked: i === state.rule, onchange: () => follow(i) }),
    el('span', {}, rule.title))));
}

/** Put another rule in force: everything on the page follows. */
function follow(/** @type {number} */ rule) {
  state.rule = rule;
  showStamp();
  showHeadline();
  showFindings();
  showMatrix();
  showLabels();
  showTwin();
  if (state.cell) showCell();
  remember();
}

function showNotes() {
  const missing = pictures.filter((picture) => picture.missing).length;
  const notes = [...data.notes];
  if (missing) notes.push(`${number(missing)} ${missing === 1 ? 'picture is' : 'pictures are'} missing: the images could not be read where they were; a box with the file's name stands for each.`);
  get('#notes').append(...notes.map((note) => el('p', { className: 'note' }, plain(note))));
}

function showHeadline() {
  get('#headline').replaceChildren(...rules[state.rule].headline.map(({ name, value, low, high, about, is_share }, i) => {
    const say = (/** @type {number | null} */ x) => (x === null ? '–' : is_share ? percent(x, 1) : x.toFixed(3));
    const between = low === null ? '–' : is_share ? range(low, high ?? NaN, 1) : `${low.toFixed(2)}–${high?.toFixed(2)}`;
    return el('div', { className: i ? 'figure' : 'figure first' }, el('h3', {}, name), el('p', { className: 'value' }, say(value)),
      whisker(value, low === null ? null : Math.max(0, low), high), el('p', { className: 'between' }, between), el('p', { className: 'about' }, about));
  }));
}

function showFindings() {
  const section = get('#findings');
  const { findings } = rules[state.rule];
  section.hidden = !findings.length;
  const shown = state.all.findings ? findings : findings.slice(0, 5);
  const advised = new Set();
  const list = shown.map(({ sentence, advice, cell, rate }) => {
    const isNew = advice && !advised.has(advice);
    advised.add(advice);
    const goTo = cell && el('button', { type: 'button', className: 'go', onclick: () => choose(cell[0], cell[1], true) },
      cell[0] === cell[1] ? 'see' : 'see the images');
    if (goTo && cell) goTo.append(el('span', { className: 'said' }, ` of ${nameOf(cell[0])} called ${nameOf(cell[1])}`));
    return el('li', {}, el('div', {}, el('p', { className: 'sentence' }, plain(sentence)), isNew ? el('p', { className: 'advice' }, plain(advice)) : null),
      el('div', { className: 'evidence' }, rate && whisker(rate.share, rate.low, rate.high),
        rate && el('span', {}, `${percent(rate.share)}, ${range(rate.low, rate.high)}`), goTo));
  });
  get('#findings ol').replaceChildren(...list);
  more('#findings', findings.length - shown.length, 'findings', () => { state.all.findings = true; showFindings(); });
}

/** The button that shows the rest of a list. */
function more(/** @type {string} */ section, /** @type {number} */ n, /** @type {string} */ what, /** @type {() => void} */ show) {
  const button = /** @type {HTMLButtonElement} */ (get(`${section} > .more`));
  button.hidden = n <= 0;
  button.textContent = `${number(n)} more ${what}`;
  button.onclick = show;
}

function showMatrix() {
  get('#matrix').hidden = false;
  if (isDrawn) matrix.show({ labels: names, cells: rules[state.rule].cells, unit: data.unit, similarity: data.similarity });
  else showPairs();
  showLegend();
}

/** Where there are too many labels to draw: the most confused pairs, in words. */
function showPairs() {
  for (const name of ['#tools', '.twin', 'confusion-matrix']) get(name).hidden = true;
  const { cells } = rules[state.rule];
  const rows = [];
  for (let i = 0; i < cells.length; i += 3) {
    const [t, p] = [cells[i], cells[i + 1]];
    if (t === p) continue;
    rows.push(el('tr', { tabIndex: 0, className: 'link', onclick: () => choose(t, p), onkeydown: enter(() => choose(t, p)) },
      el('td', {}, tag(t, 'true')), el('td', {}, tag(p, 'predicted')), el('td', { className: 'n' }, number(cells[i + 2])),
      el('td', { className: 'n' }, number(counts[state.rule].rows[t])),
      el('td', { className: 'n' }, range(...wilson(cells[i + 2], counts[state.rule].rows[t])))));
  }
  get('.pairs').replaceChildren(
    el('p', {}, `${number(K)} labels are more than a canvas can show. These are the ${number(rows.length)} pairs that are most surely confused.`),
    el('div', { className: 'scroll tall' }, el('table', { className: 'grid' }, el('thead', {}, el('tr', {},
      ...['true label', 'predicted label', 'images', 'of', 'interval'].map((text, i) => el('th', { className: i > 1 ? 'n' : '' }, text)))), el('tbody', {}, ...rows))));
}

/** Runs `act` on Enter and the space bar. */
function enter(/** @type {() => void} */ act) {
  return (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    act();
  };
}

/** What the colours mean, at the scale in force. */
function showLegend() {
  const legend = get('.legend');
  legend.hidden = !isDrawn;
  const scaleBar = el('span', { className: 'ramp' });
  scaleBar.style.background = `linear-gradient(to right, ${[10, 64, 128, 192, 255].map((i) => matrix.ramp[i].css)})`;
  const { values, scale } = matrix.settings;
  const most = values === 'count' ? number(matrix.most) : percent(matrix.most);
  const what = { count: noun, true: 'share of true', pred: 'share of predicted' }[values];
  const item = (/** @type {(Node | string)[]} */ ...parts) => el('span', { className: 'item' }, ...parts);
  legend.replaceChildren(item(el('span', { className: 'zero' }), 'zero'),
    item(scaleBar, `${values === 'count' ? 'one' : 'little'} to ${most} ${values === 'count' ? what : `(${what})`}, ${scale}`),
    item(el('span', { className: 'hatch' }), 'interval wider than 30 points'), item(el('b', {}, 'grey'), `label with fewer than ${FEW} ${noun}`));
}

/** Choose a cell: its sentence and images. */
function choose(/** @type {number} */ t, /** @type {number} */ p, isFar = false) {
  if (isDrawn) matrix.select(t, p);
  else opened(t, p);
  if (isFar) get('#matrix').scrollIntoView({ block: 'start', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
}

function opened(/** @type {number} */ t, /** @type {number} */ p) {
  state.cell = [t, p];
  state.all.images = false;
  showCell();
  if (!isStarted) return;
  remember();
  const panel = get('#cell');
  // Below the matrix the panel may be out of sight.
  if (panel.offsetTop > matrix.offsetTop + 200) panel.scrollIntoView({ block: 'nearest' });
}

/** @type {Map<number, Picture[]>[]} */
const byCell = rules.map((_, rule) => {
  const found = new Map();
  for (const picture of pictures) for (const cell of picture.cells[rule]) {
    if (!found.has(cell)) found.set(cell, []);
    found.get(cell).push(picture);
  }
  return found;
});

function picturesOf(/** @type {number} */ t, /** @type {number} */ p) {
  const sign = state.surest ? -1 : 1;
  const certainty = (/** @type {Picture} */ picture) => picture.p ?? (state.surest ? -1 : 2);
  return [...(byCell[state.rule].get(t * (K + 1) + p) ?? [])].sort((a, b) => sign * (certainty(a) - certainty(b)));
}

function showCell() {
  const panel = get('#cell');
  if (!state.cell) {
    panel.replaceChildren(el('p', { className: 'hint' }, pictures.length
      ? 'Choose a cell to see its images.' : 'Choose a cell to read it. The source names no images, so there are none to show.'));
    return;
  }
  const [t, p] = state.cell;
  const all = counts[state.rule];
  const total = all.at(t, p);
  const listed = picturesOf(t, p);
  const pictured = listed.filter((picture) => picture.thumbnail || picture.missing);
  const sentence = el('p', { className: 'sentence' }, ...sentenceOf(all, t, p).map((part) => part.axis
    ? el('bdi', { className: `label ${part.axis}` }, part.text) : unbroken(part.text)));
  const how = pictured.length < total ? `${number(pictured.length)} of ${number(total)} shown` : `${number(total)} ${total === 1 ? noun.slice(0, -1) : noun}`;
  const order = listed.length > 1 && listed.some((picture) => picture.p !== null) && el('button', { type: 'button', className: 'quiet', onclick: () => {
    state.surest = !state.surest;
    showCell();
  } }, state.surest ? 'surest first' : 'least certain first');
  const few = state.all.images ? pictured : pictured.slice(0, MANY);
  panel.replaceChildren(
    el('h3', {}, tag(t, 'true'), el('span', { className: 'called' }, t === p ? ' recognised' : ' called '), ...(t === p ? [] : [tag(p, 'predicted')])),
    sentence,
    el('div', { className: 'row' }, el('span', { className: 'shown' }, pictures.length ? how : `${number(total)} ${noun}`), order || null,
      listed.length ? copyButton('Copy list', () => listed.map((picture) => picture.uri).join('\n')) : null),
    el('ul', { className: 'pictures' }, ...few.map(showPicture)),
    ...(few.length < pictured.length ? [el('button', { type: 'button', className: 'more', onclick: () => { state.all.images = true; showCell(); } }, `${number(pictured.length - few.length)} more`)] : []),
    ...(listed.length ? [el('details', { className: 'list', open: pictured.length < listed.length && listed.length <= 50 },
      el('summary', {}, `${number(listed.length)} ${listed.length === 1 ? 'name' : 'names'}`), el('pre', { tabIndex: 0 }, listed.map((picture) => picture.uri).join('\n')))] : []),
    ...(pictures.length && listed.length < total ? [el('p', { className: 'hint' }, 'All of them: ', el('code', {}, command(t, p)), ' ', copyButton('Copy', () => command(t, p)))] : []),
  );
}

function showPicture(/** @type {Picture} */ picture) {
  const name = plain(picture.uri.split('/').pop() || picture.uri);
  const face = picture.thumbnail
    ? el('img', { src: `data:image/webp;base64,${picture.thumbnail}`, alt: name, decoding: 'async', width: 96, height: 96 })
    : el('span', { className: 'missing', title: 'this picture is missing' }, name);
  return el('li', { title: plain(picture.uri) }, face, el('span', { className: 'p' }, picture.p === null ? '' : percent(picture.p)),
    el('span', { className: 'file' }, name));
}

/** The command that lists every image of a cell. */
function command(/** @type {number} */ t, /** @type {number} */ p) {
  const quote = (/** @type {string} */ text) => (/^[\w@%+=:,./-]+$/.test(text) && !text.startsWith('-') ? text : `'${text.replaceAll("'", "'\\''")}'`);
  const side = (/** @type {string} */ name, /** @type {number} */ i) => ` --${name}=${i === K ? "''" : quote(labels[i])}`;
  const rule = rules[state.rule].name === 'thresholds' ? ' --threshold assumed' : '';
  return `deconfuse images ${quote(data.source)}${side('true', t)}${side('predicted', p)}${rule}`;
}

function copyButton(/** @type {string} */ text, /** @type {() => string} */ what) {
  const button = el('button', { type: 'button', className: 'quiet copy', onclick: async () => {
    button.textContent = (await copy(what())) ? 'Copied' : 'Select and copy below';
    setTimeout(() => { button.textContent = text; }, 1600);
  } }, text);
  return button;
}

async function copy(/** @type {string} */ text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without the permission, or inside a frame: the old way, through a selection.
    const area = el('textarea', { value: text, className: 'said' });
    document.body.append(area);
    /** @type {HTMLTextAreaElement} */ (area).select();
    const isCopied = document.execCommand('copy');
    area.remove();
    return isCopied;
  }
}

/** The label most often given to images of a label instead of its own. */
function mistaken(/** @type {number} */ t) {
  let best = -1;
  const at = counts[state.rule];
  for (const p of at.row(t)) if (p !== t && at.at(t, p) > (best < 0 ? 0 : at.at(t, best))) best = p;
  return best;
}

function columns() {
  const rule = rules[state.rule];
  const { scores, thresholds } = rule;
  const rate = (/** @type {Rate[]} */ values) => ({
    value: (/** @type {number} */ i) => values[i][0],
    show: (/** @type {number} */ i) => [el('span', { className: 'rate' }, share(values[i][0])), whisker(...values[i]), el('span', { className: 'between' }, values[i][1] === null ? '' : range(values[i][1] ?? NaN, values[i][2] ?? NaN))],
  });
  const count = (/** @type {(number | null)[]} */ values) => ({ value: (/** @type {number} */ i) => values[i], show: (/** @type {number} */ i) => [number(values[i] ?? NaN)], isNumber: true });
  const collator = new Intl.Collator('en', { numeric: true });
  const place = new Map(labels.map((_, i) => i).sort((a, b) => collator.compare(labels[a], labels[b])).map((label, i) => [label, i]));
  const confused = labels.map((_, t) => mistaken(t));
  return [
    { key: 'name', title: 'Label', value: (/** @type {number} */ i) => place.get(i) ?? 0, show: (/** @type {number} */ i) => [tag(i, scores.support[i] < FEW ? 'few' : 'true')] },
    { key: 'support', title: 'Images', about: 'images that truly are the label', ...count(scores.support) },
    ...(data.train ? [{ key: 'train', title: 'Trained on', about: 'training images of the label', ...count(data.train) }] : []),
    { key: 'predicted', title: 'Predicted', about: 'images that were called the label', ...count(scores.predicted) },
    { key: 'precision', title: 'Precision', about: 'of the images called the label, the share that are it', ...rate(scores.precision) },
    { key: 'recall', title: 'Recall', about: 'of the images that are the label, the share that were called it', ...rate(scores.recall) },
    { key: 'f1', title: 'F1', about: 'harmonic mean of precision and recall', ...rate(scores.f1) },
    ...(thresholds ? [{ key: 'threshold', title: 'Threshold', value: (/** @type {number} */ i) => thresholds[i], show: (/** @type {number} */ i) => [thresholds[i]?.toFixed(3) ?? '–'], isNumber: true }] : []),
    { key: 'confused', title: 'Most often called', value: (/** @type {number} */ i) => (confused[i] < 0 ? 0 : counts[state.rule].at(i, confused[i])), show: (/** @type {number} */ i) => (confused[i] < 0 ? ['–'] : [
      el('button', { type: 'button', className: 'quiet', onclick: () => choose(i, confused[i], true) }, tag(confused[i], 'predicted'), ` ${number(counts[state.rule].at(i, confused[i]))} ×`)]) },
  ];
}

function showLabels() {
  get('#labels').hidden = false;
  const shown = columns();
  const by = shown.find(({ key }) => key === state.sort);
  const rows = labels.map((_, i) => i);
  if (by) rows.sort((a, b) => compare(by.value(a), by.value(b), state.isDown));
  const head = el('tr', {}, ...shown.map((column) => el('th', { scope: 'col', className: 'isNumber' in column ? 'n' : '', title: 'about' in column ? column.about : '', 'aria-sort': column.key !== state.sort ? 'none' : state.isDown ? 'descending' : 'ascending' },
    el('button', { type: 'button', onclick: () => sort(column.key) }, column.title))));
  const few = state.all.labels ? rows : rows.slice(0, 2 * MANY);
  const means = rules[state.rule].headline;
  const mean = (/** @type {string} */ key) => share(means.find(({ name }) => name.toLowerCase() === key)?.value ?? null);
  const foot = el('tr', {}, ...shown.map(({ key }, i) => el('td', {}, i === 0 ? 'mean' : ['precision', 'recall', 'f1'].includes(key) ? mean(key) : '')));
  get('#labels table').replaceChildren(el('thead', {}, head),
    el('tbody', {}, ...few.map((i) => el('tr', {}, ...shown.map((column) => el('td', { className: 'isNumber' in column ? 'n' : '' }, ...column.show(i)))))), el('tfoot', {}, foot));
  more('#labels', rows.length - few.length, 'labels', () => { state.all.labels = true; showLabels(); });
}

/** Undefined values come last, whichever way the column is sorted. */
function compare(/** @type {number | null | undefined} */ a, /** @type {number | null | undefined} */ b, /** @type {boolean} */ isDown) {
  if (a == null || b == null) return Number(a == null) - Number(b == null);
  return isDown ? b - a : a - b;
}

/** Sort by a column; once more turns it round. Numbers of images begin with the most, rates with the worst. */
function sort(/** @type {string} */ key) {
  const isFirstDown = ['support', 'train', 'predicted', 'confused'].includes(key);
  [state.isDown, state.sort] = [state.sort === key ? !state.isDown : isFirstDown, key];
  showLabels();
  /** @type {HTMLElement | null} */ (document.querySelector('#labels th:is([aria-sort="ascending"], [aria-sort="descending"]) button'))?.focus();
}

function showProblems() {
  /** @type {Problem[]} */ const problems = data.problems;
  get('#problems').hidden = !problems.length;
  if (!problems.length) return;
  const [errors, warnings] = [data.n_errors, data.n_problems - data.n_errors];
  const rest = data.n_problems - problems.length;
  get('#problems .lead').textContent = [
    errors ? `${number(errors)} ${errors === 1 ? 'image or line was' : 'images or lines were'} not used.` : '',
    warnings ? `${number(warnings)} ${warnings === 1 ? 'warning' : 'warnings'}.` : '', rest > 0 ? `The first ${number(problems.length)} are listed.` : '',
  ].filter(Boolean).join(' ');
  const shown = state.all.problems ? problems : problems.slice(0, MANY);
  get('#problems table').replaceChildren(
    el('thead', {}, el('tr', {}, ...['', 'Where', 'What', 'Code', 'Split'].map((text) => el('th', { scope: 'col' }, text)))),
    el('tbody', {}, ...shown.map((problem) => el('tr', {}, el('td', {}, el('span', { className: `badge ${problem.level}` }, problem.level)),
      el('td', {}, el('bdi', { className: 'where' }, plain(problem.where || '–'))), el('td', {}, plain(problem.message)), el('td', { className: 'code' }, plain(problem.code)), el('td', {}, problem.split ?? '–')))));
  more('#problems', problems.length - shown.length, 'entries', () => { state.all.problems = true; showProblems(); });
}

/** The matrix as an HTML table, for reading aloud and copying; made when it is opened. */
function showTwin() {
  const details = /** @type {HTMLDetailsElement} */ (get('.twin'));
  if (!details.open || !isDrawn) return;
  const at = counts[state.rule];
  const rows = [...labels.keys(), ...(at.rows[K] ? [K] : [])];
  const cols = [...labels.keys(), ...(at.cols[K] ? [K] : [])];
  get('.twin .scroll').replaceChildren(el('table', { className: 'grid twin-table' },
    el('caption', {}, `True labels on rows, predicted labels on columns, ${noun}. ${plain(stampText())}`),
    el('thead', {}, el('tr', {}, el('th', {}, 'true\\predicted'), ...cols.map((p) => el('th', { scope: 'col' }, tag(p, 'predicted'))), el('th', { scope: 'col' }, 'all'))),
    el('tbody', {}, ...rows.map((t) => el('tr', {}, el('th', { scope: 'row' }, tag(t, 'true')),
      ...cols.map((p) => el('td', { className: at.at(t, p) ? 'n' : 'n zero' }, number(at.at(t, p)))), el('td', { className: 'n' }, number(at.rows[t]))))),
    el('tfoot', {}, el('tr', {}, el('th', { scope: 'row' }, 'all'), ...cols.map((p) => el('td', { className: 'n' }, number(at.cols[p]))), el('td', { className: 'n' }, '')))));
}

/** A control of the tools, by its name. @returns {any} */
const field = (/** @type {string} */ name) => /** @type {HTMLFormElement} */ (get('#tools')).elements.namedItem(name);

function listen() {
  const tools = /** @type {HTMLFormElement} */ (get('#tools'));
  tools.addEventListener('submit', (event) => event.preventDefault());
  tools.addEventListener('change', (event) => {
    const { name } = /** @type {HTMLInputElement} */ (event.target);
    if (name === 'find') return;
    if (name === 'scale') state.scaleChosen = true;
    // Counts span magnitudes, shares do not; a choice of one's own stays.
    if (name === 'values' && !state.scaleChosen) field('scale').value = field('values').value === 'count' ? 'log' : 'linear';
    apply();
    remember();
  });
  const find = /** @type {HTMLInputElement} */ (tools.elements.namedItem('find'));
  const search = () => {
    const n = matrix.find(find.value, state.nth);
    get('.found').textContent = !find.value.trim() ? '' : n === 0 ? 'no such label' : n === 1 ? '1 label' : `${number(n)} labels, Enter for the next`;
  };
  find.addEventListener('input', () => { state.nth = 0; search(); });
  find.addEventListener('keydown', enterOnly(() => { state.nth += 1; search(); }));
  matrix.addEventListener('cell-select', (event) => {
    const { true: t, predicted: p } = /** @type {CustomEvent} */ (event).detail;
    opened(t, p);
  });
  get('.twin').addEventListener('toggle', showTwin);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showLegend);
  for (const type of ['beforeprint', 'afterprint']) window.addEventListener(type, showLegend);
}

function enterOnly(/** @type {() => void} */ act) {
  return (/** @type {KeyboardEvent} */ event) => {
    if (event.key === 'Enter') act();
  };
}

/** Hand the settings of the form to the matrix. */
function apply() {
  const form = new FormData(/** @type {HTMLFormElement} */ (get('#tools')));
  matrix.set(/** @type {any} */ ({
    values: form.get('values'), orientation: form.get('orientation'), scale: form.get('scale'), order: form.get('order'), diagonal: form.has('diagonal'),
  }));
  showLegend();
}

/** Keep what is shown in the address, so that a copy of it opens the same picture. */
function remember() {
  const form = new FormData(/** @type {HTMLFormElement} */ (get('#tools')));
  const kept = new URLSearchParams();
  const usual = { values: 'count', orientation: 'true', scale: 'log', order: 'given' };
  for (const [key, value] of Object.entries(usual)) if (form.get(key) !== value) kept.set(key, String(form.get(key)));
  if (!form.has('diagonal')) kept.set('diagonal', 'off');
  if (state.rule) kept.set('rule', rules[state.rule].name);
  if (state.cell) kept.set('cell', state.cell.join('.'));
  try {
    history.replaceState(null, '', `#${kept}`);
  } catch {
    // Inside a notebook's frame there is no address to keep it in.
  }
}

/** Take up what an address says; what it says wrongly is passed over. */
function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  const tools = /** @type {HTMLFormElement} */ (get('#tools'));
  const rule = rules.findIndex(({ name }) => name === kept.get('rule'));
  if (rule > 0) state.rule = rule;
  for (const input of tools.querySelectorAll('input[type=radio]')) {
    const { name, value } = /** @type {HTMLInputElement} */ (input);
    if (kept.get(name) === value) /** @type {HTMLInputElement} */ (input).checked = true;
  }
  const order = tools.querySelector(`option[value="${CSS.escape(kept.get('order') ?? '')}"]`);
  if (order) /** @type {HTMLOptionElement} */ (order).selected = true;
  if (kept.get('diagonal') === 'off') field('diagonal').checked = false;
  state.scaleChosen = kept.has('scale');
  const cell = (kept.get('cell') ?? '').split('.').map(Number);
  return cell.length === 2 && cell.every((i) => Number.isInteger(i) && i >= 0 && i <= K) ? cell : null;
}

/** Keep headings that one jumps to below the bar, however many lines it has. */
function watchBar() {
  const header = get('.bar');
  new ResizeObserver(() => {
    document.documentElement.style.scrollPaddingTop = `${getComputedStyle(header).position === 'sticky' ? header.offsetHeight + 12 : 12}px`;
  }).observe(header);
}

function start() {
  watchBar();
  if (!data.similarity.length) get('option[value="similarity"]').remove();
  const cell = recall();
  listen();
  showRules();
  showNotes();
  follow(state.rule);
  apply();
  showCell();
  showProblems();
  const first = cell ?? rules[state.rule].findings.find(({ kind, cell: at }) => kind === 'confusion' && at)?.cell;
  if (first) choose(first[0], first[1]);
  isStarted = true;
}

start();
