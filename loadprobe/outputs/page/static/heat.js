// Where response times lay: time across, length upwards, darker where there are more.

import { el } from "./dom.js";
import { lengthText } from "./words.js";

const ROW_HEIGHT = 5;
const LEFT_PX = 70;
const LEAST_SHARE = 1e-5;

// One map for each lane; the columns are as wide as their time.
export function heatMaps(run, common) {
  const { bounds_ms: bounds, lanes } = run.course.heat;
  return lanes.map(({ lane, columns }) => {
    const canvas = el("canvas", { role: "img", "aria-label": `Where the response times of lane ${lane} lay over time; their quantiles are in the tables` });
    const place = el("div", {}, canvas);
    const figure = el("figure", { class: "chart heat" }, el("figcaption", {}, `Lane ${lane}: where response times lay`), place);
    const draw = () => drawHeat(canvas, place.clientWidth, run.course, columns, bounds, common.lengthMs);
    new ResizeObserver(draw).observe(place);
    for (const query of ["(prefers-color-scheme: dark)", "print"]) {
      matchMedia(query).addEventListener("change", draw);
    }
    figure.refresh = draw;
    return figure;
  });
}

function drawHeat(canvas, width, course, columns, bounds, lengthMs) {
  const height = (bounds.length + 1) * ROW_HEIGHT;
  const ratio = window.devicePixelRatio || 1;
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = colour("paper");
  pen.fillRect(0, 0, width, height);
  const x = (ms) => LEFT_PX + (Math.max(0, ms) / lengthMs) * (width - LEFT_PX);
  pen.fillStyle = colour("first");
  for (const { at, steps, counts } of columns) {
    const total = counts.reduce((sum, count) => sum + count, 0);
    const last = at + steps - 1;
    const [from, to] = [x(course.at[at]), x(course.at[last] + 1000 * course.seconds[last])];
    counts.forEach((count, row) => {
      if (count === 0) return;
      // One of a hundred thousand is still to be seen.
      const share = Math.max(count / total, LEAST_SHARE);
      pen.globalAlpha = 0.15 + 0.85 * (1 - Math.log10(share) / Math.log10(LEAST_SHARE));
      pen.fillRect(from, height - (row + 1) * ROW_HEIGHT, Math.max(1, to - from), ROW_HEIGHT);
    });
  }
  pen.globalAlpha = 1;
  labels(pen, bounds, height, colour);
}

function labels(pen, bounds, height, colour) {
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  bounds.forEach((bound, row) => {
    if (row % 6 !== 2) return; // powers of ten
    pen.fillStyle = colour("ink");
    pen.fillText(lengthText(bound), LEFT_PX - 8, height - (row + 1) * ROW_HEIGHT);
    pen.fillStyle = colour("line");
    pen.fillRect(LEFT_PX - 4, height - (row + 1) * ROW_HEIGHT, 4, 1);
  });
}
