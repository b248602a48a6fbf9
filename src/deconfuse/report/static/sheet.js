/** Style of what stands inside `<confusion-matrix>`: a script makes it, so that no policy against inline styles stops it. */

import { FONT } from './colours.js';

export const SHEET = new CSSStyleSheet();
SHEET.replaceSync(`
  :host { display: block; position: relative; }
  .frame { position: relative; }
  .scroller { overflow: auto; position: relative; outline: none; overscroll-behavior: contain; touch-action: pan-x pan-y; }
  .spacer { position: absolute; top: 0; left: 0; pointer-events: none; }
  .stage { position: sticky; top: 0; left: 0; overflow: hidden; }
  canvas { position: absolute; top: 0; left: 0; display: block; }
  .over { cursor: crosshair; }
  .tip { position: absolute; top: 0; left: 0; max-width: 300px; padding: 8px 11px; border-radius: 6px; pointer-events: none;
    background: #1c2430; color: #f4f5f7; font: 13px/1.45 ${FONT}; box-shadow: 0 4px 18px rgba(0, 0, 0, .22); z-index: 3; }
  .tip b { font-weight: 600; } .tip i { font-style: normal; font-weight: 600; color: #f9b283; }
  .zoom { position: absolute; top: 0; right: 0; display: flex; gap: 4px; z-index: 2; }
  .zoom button { font: 13px/1 ${FONT}; min-width: 26px; height: 26px; border: 1px solid #8888; border-radius: 5px;
    background: Canvas; color: CanvasText; cursor: pointer; }
  .zoom button:focus-visible { outline: 2px solid #b4480f; outline-offset: 1px; }
  .said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
  [hidden] { display: none; }
  @media (prefers-color-scheme: dark) { .tip { background: #2c3440; } }
  @media print { .zoom, .tip { display: none; } canvas { max-width: 100%; height: auto !important; } .over { display: none; }
    .scroller { overflow: visible; max-height: none !important; } }
`);
