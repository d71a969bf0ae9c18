// Drawing a film on a canvas: tracks of markers, rows of cells, an axis of time.

import { BLANK, BLIND, DARK, GREY, LIT, PLANNED } from "./cells.js";
import { clockText } from "./words.js";

export const TRACK_PX = 26;
export const ROW_PX = 20;
export const AXIS_PX = 24;

// How much of its row a state fills: told without any colour, too.
const HEIGHTS = { [LIT]: 0.42, [PLANNED]: 0.6, [BLIND]: 1, [GREY]: 0.78, [DARK]: 1 };
export const NAMES = { [LIT]: "lit", [PLANNED]: "planned", [BLIND]: "blind", [GREY]: "grey", [DARK]: "dark" };
const HATCHED = new Set([PLANNED, BLIND]);
const STRIP_PX = 13;
const SIGNS = { phase: "▲", provider: "◆", mark: "⚑", topology: "●", other: "·", stall: "▮" };
const FONT = "11px system-ui, sans-serif";
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500].concat(
  [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400].map((s) => s * 1000),
);

// The colours of the page, as its styles have them now.
export function readColours(element) {
  const style = getComputedStyle(element);
  const names = ["lit", "planned", "blind", "grey", "dark", "ink", "faint", "line", "paper", "mark"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
  }

  // view: {from, to} in ms; rows: cells.Row; markers: {at, kind}; outages per row.
  draw({ view, rows, markers, outages, selected, zeroUnixMs, width, colours }) {
    this.begin({ view, width, height: TRACK_PX + rows.length * ROW_PX + AXIS_PX, colours });
    this.axis(TRACK_PX + rows.length * ROW_PX, zeroUnixMs);
    rows.forEach((row, n) => {
      const top = TRACK_PX + n * ROW_PX;
      if (n === selected) this.box(0, top, width, ROW_PX, colours.faint);
      this.strip(row, top + 2);
      for (const outage of outages[n]) this.bar(outage, top + 2 + STRIP_PX + 1);
    });
    this.marks(markers, TRACK_PX + rows.length * ROW_PX);
  }

  // One row by itself, in the colours and heights of a film.
  drawStrip({ view, row, width, colours }) {
    this.begin({ view, width, height: STRIP_PX, colours });
    this.strip(row, 0);
  }

  begin({ view, width, height, colours }) {
    Object.assign(this, { view, width, colours });
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const pen = this.pen;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = colours.paper;
    pen.fillRect(0, 0, width, height);
    pen.font = FONT;
    this.patterns = Object.fromEntries([...HATCHED].map((s) => [s, this.hatch(colours[NAMES[s]], s)]));
  }

  x(ms) {
    return ((ms - this.view.from) / (this.view.to - this.view.from)) * this.width;
  }

  box(x, y, width, height, fill) {
    this.pen.fillStyle = fill;
    this.pen.fillRect(x, y, width, height);
  }

  // One state per pixel, the worst of its time; pixels that are alike in one go.
  strip(row, top) {
    const { from, to } = this.view;
    const perPx = (to - from) / this.width;
    let start = 0;
    let last = null;
    for (let x = 0; x <= this.width; x += 1) {
      const found = x < this.width ? row.worst(from + x * perPx, from + (x + 1) * perPx) : null;
      if (last !== null && found?.state === last.state && found.isPale === last.isPale) continue;
      if (last !== null) this.run(last, start, x - start, top);
      [start, last] = [x, found];
    }
  }

  run({ state, isPale }, x, width, top) {
    if (state === BLANK) return;
    const height = STRIP_PX * HEIGHTS[state];
    this.pen.globalAlpha = isPale ? 0.4 : 1;
    this.box(x, top + STRIP_PX - height, width, height, this.patterns[state] ?? this.colours[NAMES[state]]);
    this.pen.globalAlpha = 1;
  }

  // An outage under its row: thick what is proven, thin to where it may reach.
  bar({ start, end, earliest, latest, isPlanned }, top) {
    if (latest < this.view.from || earliest > this.view.to) return;
    const width = Math.max(3, this.x(end) - this.x(start));
    this.box(this.x(earliest), top + 1, Math.max(3, this.x(latest) - this.x(earliest)), 1, this.colours.ink);
    this.box(this.x(start), top, width, 3, isPlanned ? this.colours.planned : this.colours.dark);
  }

  hatch(colour, state) {
    const tile = document.createElement("canvas");
    [tile.width, tile.height] = [6, 6];
    const pen = tile.getContext("2d");
    pen.strokeStyle = colour;
    pen.lineWidth = 2;
    pen.beginPath();
    const lines = state === PLANNED ? [[-1, 7, 7, -1], [-1, 1, 1, -1], [5, 7, 7, 5]] : [[-1, -1, 7, 7], [5, -1, 7, 1], [-1, 5, 1, 7]];
    for (const [a, b, c, d] of lines) {
      pen.moveTo(a, b);
      pen.lineTo(c, d);
    }
    pen.stroke();
    return this.pen.createPattern(tile, "repeat");
  }

  axis(top, zeroUnixMs) {
    const span = this.view.to - this.view.from;
    const room = Math.max(1, Math.floor(this.width / 105));
    const step = STEPS.find((each) => span / each <= room) ?? 86_400_000 * Math.ceil(span / room / 86_400_000);
    const digits = step < 1000 ? 3 : 0;
    const first = Math.ceil((zeroUnixMs + this.view.from) / step) * step;
    this.pen.textBaseline = "top";
    for (let at = first; at <= zeroUnixMs + this.view.to; at += step) {
      const x = this.x(at - zeroUnixMs);
      this.box(x, TRACK_PX, 1, top - TRACK_PX + 4, this.colours.line);
      const text = clockText(at, digits);
      const half = this.pen.measureText(text).width / 2;
      this.pen.fillStyle = this.colours.ink;
      this.pen.fillText(text, Math.min(Math.max(x - half, 0), this.width - 2 * half), top + 7);
    }
  }

  // Signs above the rows; where there is no room for all, the more important ones.
  marks(markers, bottom) {
    const taken = new Map();
    this.pen.textBaseline = "middle";
    for (const { at, kind } of markers) {
      if (at < this.view.from || at > this.view.to) continue;
      const x = this.x(at);
      const rank = Object.keys(SIGNS).indexOf(kind);
      const place = Math.round(x / 9);
      if ((taken.get(place)?.rank ?? 99) > rank) taken.set(place, { x, rank, kind });
    }
    for (const { x, kind } of taken.values()) {
      const isFaint = kind === "other" || kind === "stall";
      if (!isFaint) {
        this.pen.globalAlpha = 0.35;
        this.box(x, 18, 1, bottom - 18, this.colours.mark);
        this.pen.globalAlpha = 1;
      }
      this.pen.fillStyle = isFaint ? this.colours.ink : this.colours.mark;
      this.pen.fillText(SIGNS[kind], x - this.pen.measureText(SIGNS[kind]).width / 2, 11);
    }
  }
}
