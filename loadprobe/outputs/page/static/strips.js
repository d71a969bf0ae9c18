// Figures of groups of runs: a row for each group, a point for each of its runs.

import { el } from "./dom.js";
import { fixed } from "./words.js";

const ROOM = 0.03;
const TICK_SHARE = 1 / 6;
const EDGE = 0.07;
const LINES = 3;

// A scale for all rows of a figure: from zero on, unless all lie far from it.
export function scaleOf(rows) {
  const points = rows.flatMap((row) => row.points);
  const least = Math.min(...points.map(({ lower }) => lower));
  const most = Math.max(...points.map(({ upper }) => upper));
  const room = most > least ? (most - least) * ROOM : Math.abs(most) / 2 || 1;
  const isNearZero = least >= 0 && (least <= most / 2 || most === least);
  return { from: isNearZero ? 0 : least - room, to: most + room };
}

// An axis with round values. words: of a value, instead of itself.
export function fillAxis(axis, { from, to }, share = TICK_SHARE, words = null) {
  const step = stepOf((to - from) * share);
  const digits = Math.min(20, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  const ticks = [];
  for (let n = Math.ceil(from / step); n * step <= to; n += 1) {
    const value = Number((n * step).toPrecision(12));
    const at = (value - from) / (to - from);
    const side = at < EDGE ? "begin" : at > 1 - EDGE ? "end" : null;
    const tick = el("i", { class: side }, words === null ? fixed(value, digits) : words(value));
    tick.style.left = `${(at * 100).toFixed(3)}%`;
    ticks.push(tick);
  }
  axis.replaceChildren(...ticks);
  return axis;
}

// The smallest of 1, 2, 5, 10 ... that is not smaller.
function stepOf(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((times) => times * power).find((each) => each >= least * 0.999);
}

export function strips({ figure, title, rows }) {
  const scale = scaleOf(rows);
  const place = (value) => `${(((value - scale.from) / (scale.to - scale.from)) * 100).toFixed(3)}%`;
  return el(
    "div",
    { class: "strips", role: "group", "aria-label": title },
    el("div", { class: "strip head", "aria-hidden": "true" }, el("b", {}), fillAxis(el("span", { class: "axis" }), scale), el("span", {}, "median [lower, upper], sure")),
    rows.map((row) => strip(figure, row, place)),
  );
}

function strip(figure, row, place) {
  const [label, count, median, interval, sure, each] = row.cells;
  const words = `${label}, ${figure}: median ${median} ${interval}, sure ${sure}; ${count} runs: ${each}`;
  const track = el("span", { class: "points", role: "img", "aria-label": words });
  const range = el("i", { class: "interval" });
  [range.style.left, range.style.right] = [place(row.lower), `calc(100% - ${place(row.upper)})`];
  const middle = el("i", { class: "median" });
  middle.style.left = place(row.median);
  track.append(range, middle);
  row.points.forEach((point, n) => track.append(...marks(point, n, place)));
  return el("div", { class: "strip" }, el("b", { title: label }, label), track, el("span", {}, el("b", {}, median), ` ${interval}, ${sure}`));
}

// A point and its error bar; points that follow each other are not on one line.
function marks({ run, text, estimate, lower, upper }, n, place) {
  const point = el("i", { class: "point", title: run ? `${text} in ${run}` : text });
  point.style.left = place(estimate);
  const made = [point];
  if (lower < upper) {
    const bar = el("i", { class: "bars" });
    [bar.style.left, bar.style.right] = [place(lower), `calc(100% - ${place(upper)})`];
    made.unshift(bar);
  }
  for (const each of made) each.classList.add(`line-${n % LINES}`);
  return made;
}
