/**
 * Numbers and cells in words, the same in every view: shares in percent, Wilson intervals, the sentence of a cell.
 */

/** @typedef {{ labels: string[], cells: ArrayLike<number>, unit?: string, similarity?: number[], sums?: [number[], number[]] | null }} MatrixData */
/** @typedef {{ text: string, axis?: 'true' | 'predicted' }} Part */

export const WIDE = 0.3; // an interval wider than this is marked
export const FEW = 10; // a label with fewer samples is marked

/** `share` (0..1) in percent, half to even; what is not nothing never reads as 0, what is not all never as 100. */
export function percent(/** @type {number} */ share, digits = 0) {
  return Number.isFinite(share) ? `${bare(share, 1, digits)}\u00a0%` : '–';
}

/** hits / trials in percent without its sign. The ratio is formed here because 100 · 23 / 40 has an exact tie and 23 / 40 has not. */
export function bare(/** @type {number} */ hits, /** @type {number} */ trials, digits = 0) {
  const scaled = (100 * 10 ** digits * hits) / trials;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const whole = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  const all = 100 * 10 ** digits;
  if ((whole === 0 && hits > 0) || (whole === all && hits < trials)) {
    if (digits === 0) return bare(hits, trials, 1);
    return whole === 0 ? '<0.1' : '>99.9';
  }
  return (whole / 10 ** digits).toFixed(digits);
}

/**
 * The Wilson score interval at 95 %: [low, high], NaN without trials.
 * Source: E. B. Wilson, JASA 22 (1927) 209-212.
 * @returns {[number, number]}
 */
export function wilson(/** @type {number} */ hits, /** @type {number} */ trials) {
  if (!(trials > 0)) return [NaN, NaN];
  const z = 1.959963984540054;
  const share = Math.min(hits / trials, 1);
  const centre = share + (z * z) / (2 * trials);
  const half = z * Math.sqrt((share * (1 - share)) / trials + (z * z) / (4 * trials * trials));
  const scale = 1 + (z * z) / trials;
  return [hits === 0 ? 0 : Math.max(0, (centre - half) / scale), hits >= trials ? 1 : Math.min(1, (centre + half) / scale)];
}

/** "15–85 %" */
export function range(/** @type {number} */ low, /** @type {number} */ high, digits = 0) {
  return Number.isFinite(low) ? `${bare(low, 1, digits)}–${bare(high, 1, digits)}\u00a0%` : '–';
}

/** A text whose ranges ("15–85 %") stay on one line. */
export function unbroken(/** @type {string} */ text) {
  return text.replaceAll('–', '–\u2060');
}

/** A count for people: thousands separated, at most two decimals. */
export function number(/** @type {number} */ value) {
  return Number.isFinite(value) ? value.toLocaleString('en', { maximumFractionDigits: 2 }) : '–';
}

/** A count in at most four characters. */
export function short(/** @type {number} */ value) {
  for (const [unit, size] of /** @type {[string, number][]} */ ([['G', 1e9], ['M', 1e6], ['k', 1e3]])) {
    if (value >= size) return (value / size).toFixed(value < 10 * size ? 1 : 0) + unit;
  }
  return value >= 10 ? value.toFixed(0) : number(value);
}

/** A label as one line of harmless text: no control characters, no marks that turn the writing direction. */
export function plain(/** @type {string} */ label) {
  return label.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, '\ufffd');
}

/** A label as it stands in a sentence: plain where it is one word, in quotes otherwise ("2 of 4 “8” images"). */
export function quoted(/** @type {string} */ label) {
  return label.length > 1 && /^\p{L}+(-\p{L}+)*$/u.test(label) ? label : `“${label}”`;
}

/** Counts of all cells with their sums. */
export class Counts {
  /** `sums` are given where `cells` are not all that hold something. @param {MatrixData} data */
  constructor({ labels, cells, unit = 'samples', sums = null }) {
    this.labels = labels;
    this.unit = unit;
    this.k = labels.length;
    this.side = this.k + 1;
    this.rows = Float64Array.from(sums?.[0] ?? { length: this.side }, (n) => n ?? 0);
    this.cols = Float64Array.from(sums?.[1] ?? { length: this.side }, (n) => n ?? 0);
    /** Index true * side + predicted; by number of cells a table or, for thousands of labels, a map. */
    this.table = sums ? null : new Float64Array(this.side * this.side);
    /** @type {Map<number, number>} */ this.map = new Map();
    /** @type {number[][]} */ this.filled = Array.from({ length: this.side }, () => []);
    for (let i = 0; i < cells.length; i += 3) {
      const [t, p, n] = [cells[i], cells[i + 1], cells[i + 2]];
      if (this.table) this.table[t * this.side + p] = n;
      else this.map.set(t * this.side + p, n);
      this.filled[t].push(p);
      if (sums) continue;
      this.rows[t] += n;
      this.cols[p] += n;
    }
  }

  at(/** @type {number} */ t, /** @type {number} */ p) {
    return this.table ? this.table[t * this.side + p] : this.map.get(t * this.side + p) ?? 0;
  }

  /** The predicted labels whose cells with a true label hold something. */
  row(/** @type {number} */ t) {
    return this.filled[t];
  }

  /** The name of a label, fit for a sentence. */
  name(/** @type {number} */ i) {
    return i < this.k ? plain(this.labels[i]) : 'no label';
  }
}

/**
 * What a cell says, with both denominators and their intervals.
 * @returns {Part[]}
 */
export function sentenceOf(/** @type {Counts} */ counts, /** @type {number} */ t, /** @type {number} */ p) {
  const [n, of, by] = [counts.at(t, p), counts.rows[t], counts.cols[p]];
  const one = counts.unit === 'label decisions' ? 'decision' : 'image';
  const noun = (/** @type {number} */ m) => (m === 1 ? one : `${one}s`);
  const was = n === 1 ? 'was' : 'were';
  /** @type {Part} */ const truth = { text: t < counts.k ? quoted(counts.name(t)) : 'no label', axis: 'true' };
  /** @type {Part} */ const guess = { text: p < counts.k ? quoted(counts.name(p)) : 'no label', axis: 'predicted' };
  const rate = (/** @type {number} */ m) => `(${bare(n, m)}\u00a0%, ${range(...wilson(n, m))})`;
  /** @type {Part[]} */ const parts = [];
  if (!of) parts.push({ text: `There are no ${one}s of ` }, truth);
  else if (t === counts.k) parts.push({ text: `${number(n)} of ${number(of)} ${noun(of)} without a true label ${rate(of)} ${was} called ` }, guess);
  else {
    parts.push({ text: `${number(n)} of ${number(of)} ` }, truth, { text: ` ${noun(of)} ${rate(of)} ${was} ` });
    if (p === t) parts.push({ text: 'recognised' });
    else if (p === counts.k) parts.push({ text: 'given no label' });
    else parts.push({ text: 'called ' }, guess);
  }
  parts.push({ text: '; ' });
  if (!by && p === counts.k) parts.push({ text: `no ${one} was left without a label` });
  else if (!by) parts.push(guess, { text: ' was never predicted' });
  else if (p === counts.k) parts.push({ text: `${number(n)} of ${number(by)} ${noun(by)} given no label ${rate(by)} ${was} ` }, truth);
  else {
    parts.push({ text: `${number(n)} of ${number(by)} ` }, guess, { text: ` prediction${by === 1 ? '' : 's'} ${rate(by)} ` });
    if (p === t) parts.push({ text: `${was} right` });
    else if (t === counts.k) parts.push({ text: 'had no true label' });
    else parts.push({ text: `${was} ` }, truth);
  }
  parts.push({ text: '.' });
  return parts;
}

/** Labels in an order: by name, support, recall or similarity; equal ones stay in the order given. */
export function sequence(/** @type {Counts} */ counts, /** @type {MatrixData} */ data, /** @type {string} */ order) {
  const all = data.labels.map((_, i) => i);
  const recall = (/** @type {number} */ i) => (counts.rows[i] ? counts.at(i, i) / counts.rows[i] : 2);
  if (order === 'name') {
    const by = new Intl.Collator('en', { numeric: true });
    return all.sort((a, b) => by.compare(data.labels[a], data.labels[b]));
  }
  if (order === 'support') return all.sort((a, b) => counts.rows[b] - counts.rows[a]);
  if (order === 'recall') return all.sort((a, b) => recall(a) - recall(b));
  if (order === 'similarity' && data.similarity?.length === all.length) return [...data.similarity];
  return all;
}

/** `text` shortened in its middle until `width` of it is at most `room`, for names often share their beginning. */
export function shortened(/** @type {string} */ text, /** @type {number} */ room, /** @type {(text: string) => number} */ width) {
  if (width(text) <= room) return text;
  for (let keep = text.length - 1; keep > 1; keep--) {
    const tail = Math.floor(keep * 0.4);
    const cut = `${text.slice(0, keep - tail)}…${text.slice(text.length - tail)}`;
    if (width(cut) <= room) return cut;
  }
  return '…';
}
