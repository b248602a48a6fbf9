/**
 * Colours and strokes of the matrix: one blue hue whose lightness alone carries the value, so that every eye reads the same order,
 * and an orange accent for what is predicted, pointed at or chosen.
 */

export const FONT = '-apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

export const LIGHT = {
  paper: '#ffffff', ink: '#1c2430', muted: '#66707f', faint: '#c3c9d2', line: '#e4e7ec', accent: '#b4480f',
  band: 'rgba(180, 72, 15, .11)', rule: 'rgba(28, 36, 48, .38)', ramp: [[0.955, 0.025], [0.62, 0.14], [0.3, 0.11]],
};
export const DARK = {
  paper: '#14181f', ink: '#e6e9ee', muted: '#98a2b1', faint: '#4a5361', line: '#2a303a', accent: '#f2955c',
  band: 'rgba(242, 149, 92, .15)', rule: 'rgba(230, 233, 238, .42)', ramp: [[0.29, 0.05], [0.6, 0.14], [0.93, 0.05]],
};

/** sRGB bytes of an OKLCH colour. Source: B. Ottosson, "A perceptual color space for image processing", 2020. */
function srgb(/** @type {number} */ l, /** @type {number} */ c, /** @type {number} */ hue) {
  const a = c * Math.cos((hue * Math.PI) / 180);
  const b = c * Math.sin((hue * Math.PI) / 180);
  const [x, y, z] = [
    l + 0.3963377774 * a + 0.2158037573 * b, l - 0.1055613458 * a - 0.0638541728 * b, l - 0.0894841775 * a - 1.291485548 * b,
  ].map((v) => v ** 3);
  return [
    4.0767416621 * x - 3.3077115913 * y + 0.2309699292 * z,
    -1.2684380046 * x + 2.6097574011 * y - 0.3413193965 * z,
    -0.0041960863 * x - 0.7034186147 * y + 1.707614701 * z,
  ].map((v) => Math.round(255 * Math.min(1, Math.max(0, v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055))));
}

/** 256 steps of one hue, evenly spaced in lightness, each with the ink that contrasts more. */
export function ramp(/** @type {number[][]} */ stops) {
  return Array.from({ length: 256 }, (_, i) => {
    const t = i / 255;
    const l = stops[0][0] + (stops[2][0] - stops[0][0]) * t;
    const [from, to, u] = t < 0.5 ? [stops[0][1], stops[1][1], 2 * t] : [stops[1][1], stops[2][1], 2 * t - 1];
    const rgb = srgb(l, from + (to - from) * u, 256);
    const linear = rgb.map((v) => (v <= 10 ? v / 3294 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    return { rgb, css: `rgb(${rgb})`, ink: luminance > 0.22 ? '#10161f' : '#ffffff' };
  });
}

/** Thin diagonal lines for dark and for light ink. */
export function hatch(/** @type {CanvasRenderingContext2D} */ g) {
  return ['rgba(16, 22, 31, .17)', 'rgba(255, 255, 255, .26)'].map((colour) => {
    const tile = document.createElement('canvas');
    tile.width = tile.height = 12;
    const h = /** @type {CanvasRenderingContext2D} */ (tile.getContext('2d'));
    h.strokeStyle = colour;
    h.lineWidth = 2;
    for (const shift of [-12, 0, 12]) {
      h.beginPath();
      h.moveTo(shift - 2, 14);
      h.lineTo(shift + 14, -2);
      h.stroke();
    }
    const pattern = /** @type {CanvasPattern} */ (g.createPattern(tile, 'repeat'));
    pattern.setTransform(new DOMMatrix().scale(0.5));
    return pattern;
  });
}

/** A line of text, centred on y. */
export function write(/** @type {CanvasRenderingContext2D} */ g, /** @type {string} */ text, /** @type {{ x: number, y: number, tone: string, size?: number, weight?: number, align?: CanvasTextAlign }} */ { x, y, tone, size = 12, weight = 400, align = 'left' }) {
  g.font = `${weight} ${size}px ${FONT}`;
  g.textAlign = align;
  g.textBaseline = 'middle';
  g.fillStyle = tone;
  g.fillText(text, x, y + 0.5);
}

/** A share as a thin bar; nothing where it is undefined. */
export function bar(/** @type {CanvasRenderingContext2D} */ g, /** @type {typeof LIGHT} */ colour, /** @type {{ x: number, y: number, width: number, share: number }} */ { x, y, width, share }) {
  if (!Number.isFinite(share)) return;
  g.fillStyle = colour.line;
  g.fillRect(x, y, width, 4);
  g.fillStyle = colour.muted;
  g.fillRect(x, y, width * share, 4);
}
