// Latency and counts over the time of a run, drawn by uPlot.

import { el } from "./dom.js";
import { clockText, countText, lengthText } from "./words.js";

const HEIGHT_PX = 190;
const FAILURES = ["late", "refused", "unknown", "unsent", "wrong"];
const DASHED = [5, 4];

// One chart: series {label, values, colour, dash, fill}; bands {from, to} in ms are shaded.
// Its refresh takes the same once more, with more times and values.
export function chart(first) {
  const { title, unit, zeroUnixMs, isLog, text } = first;
  let { times, series, bands } = first;
  const place = el("div", { class: "plot", role: "img", "aria-label": `${title}; its figures are in the tables of this page` });
  const figure = el("figure", { class: "chart" }, el("figcaption", {}, `${title}, ${unit}`), place);
  let seconds = [];
  const columns = () => {
    seconds = times.map((ms) => (zeroUnixMs + ms) / 1000);
    return [seconds, ...series.map(({ values }) => values)];
  };
  let plot = null;
  const draw = () => {
    plot?.destroy();
    const data = columns();
    const colour = (name) => getComputedStyle(figure).getPropertyValue(`--${name}`).trim();
    const grid = { stroke: colour("line"), width: 1 };
    const axis = { stroke: colour("ink"), grid, ticks: grid, font: "11px system-ui, sans-serif" };
    plot = new globalThis.uPlot(
      {
        width: Math.max(200, place.clientWidth),
        height: HEIGHT_PX,
        ms: 1e-3,
        tzDate: (at) => globalThis.uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
        scales: {
          x: { time: true, range: (_, from, to) => (from < to ? [from, to] : [from - 1, from + 1]) },
          y: isLog ? { distr: 3 } : { range: (_, __, most) => [0, Math.max(1, most * 1.08)] },
        },
        axes: [
          { ...axis, values: (_, splits) => splits.map((at) => clockText(at * 1000, 0)), space: 80 },
          { ...axis, size: 70, values: (_, splits) => splits.map((value) => (value === null ? "" : text(value))) },
        ],
        series: [
          { label: "UTC", value: (_, at) => (at === null ? "-" : clockText(at * 1000, 0)) },
          ...series.map(({ label, colour: name, dash, fill }) => ({
            label,
            stroke: colour(name),
            width: 1.5,
            dash,
            fill: fill ? `${colour(name)}40` : undefined,
            spanGaps: false,
            points: { show: seconds.length < 40 },
            value: (_, value) => (value === null ? "-" : text(value)),
          })),
        ],
        hooks: { drawClear: [(u) => shade(u, bands, zeroUnixMs, colour("faint"))] },
      },
      data,
      place,
    );
  };
  new ResizeObserver(() => {
    if (plot === null) draw();
    else if (Math.abs(plot.width - place.clientWidth) > 1) plot.setSize({ width: Math.max(200, place.clientWidth), height: HEIGHT_PX });
  }).observe(place);
  for (const query of ["(prefers-color-scheme: dark)", "print"]) {
    matchMedia(query).addEventListener("change", () => plot !== null && draw());
  }
  figure.refresh = (next) => {
    const lines = (all) => all.map(({ label, dash }) => `${label} ${dash}`).join();
    const isSame = lines(next.series) === lines(series);
    ({ times, series, bands } = next);
    if (plot === null) return;
    if (isSame) plot.setData(columns());
    else draw();
  };
  return figure;
}

function shade(u, bands, zeroUnixMs, colour) {
  u.ctx.save();
  u.ctx.fillStyle = colour;
  for (const { from, to } of bands) {
    const left = u.valToPos((zeroUnixMs + from) / 1000, "x", true);
    const right = u.valToPos((zeroUnixMs + to) / 1000, "x", true);
    const start = Math.max(left, u.bbox.left);
    const end = Math.min(Math.max(right, left + 2), u.bbox.left + u.bbox.width);
    if (end > start) u.ctx.fillRect(start, u.bbox.top, end - start, u.bbox.height);
  }
  u.ctx.restore();
}

// made: makes a figure of a chart, or does something else with it.
export function latencyCharts(run, common, made = chart) {
  const columns = run.course.latencies;
  const lanes = [...new Set(columns.map(({ lane }) => lane))];
  return lanes.map((lane) => {
    const response = columns.find((each) => each.lane === lane && each.kind === "response");
    const service = columns.find((each) => each.lane === lane && each.kind === "service");
    const series = [];
    if (response) {
      series.push({ label: "response p50", values: response.p50, colour: "first" });
      series.push({ label: "p99", values: response.p99, colour: "second" });
      series.push({ label: "max", values: response.max, colour: "third" });
    }
    if (service) series.push({ label: "service p99", values: service.p99, colour: "second", dash: DASHED });
    return made({ ...common, title: `Lane ${lane}: latency of served and late arrivals`, unit: "log scale", series, isLog: true, text: lengthText });
  });
}

export function countCharts(run, common, made = chart) {
  const seconds = run.course.seconds;
  return run.course.counts.map((lane) => {
    const rate = (names) => seconds.map((length, n) => names.reduce((sum, name) => sum + lane[name][n], 0) / length);
    const series = [
      { label: "offered", values: rate(["served", ...FAILURES]), colour: "third", dash: DASHED },
      { label: "served", values: rate(["served"]), colour: "first" },
    ];
    const colours = { late: "grey", refused: "dark", unknown: "second", unsent: "planned", wrong: "ink" };
    for (const name of FAILURES) {
      if (lane[name].some((n) => n > 0)) series.push({ label: name, values: rate([name]), colour: colours[name], fill: true });
    }
    return made({ ...common, title: `Lane ${lane.lane}: arrivals offered, served and failed`, unit: "per second", series, isLog: false, text: (value) => countText(Math.round(value * 10) / 10) });
  });
}
