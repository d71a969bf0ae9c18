// Runs below each other from one moment on: the worst of each, on one scale of time.

import { BLANK, inflate, makeRows } from "./cells.js";
import { el, note, section, table } from "./dom.js";
import { Picture, readColours } from "./picture.js";
import { fillAxis } from "./strips.js";
import { lengthText, offsetText } from "./words.js";

const MARGIN = 0.08;
const TICK_PX = 120;
const PHASES = ["api_call", "first_error", "first_served", "settled"];
const PHASE_SIGNS = { api_call: "▲", first_error: "×", first_served: "○", settled: "◆" };
const STATES = [
  ["lit", "served"],
  ["grey", "some failed"],
  ["dark", "dark: all failed"],
  ["planned", "dark by plan"],
  ["blind", "the probe was blind"],
];

// All rows of a run as one: the worst of them.
class Worst {
  constructor(rows, zeroMs) {
    Object.assign(this, { rows, zeroMs });
  }

  worst(from, to) {
    const states = this.rows.map((row) => row.worst(from + this.zeroMs, to + this.zeroMs).state);
    return { state: Math.max(BLANK, ...states), isPale: false };
  }
}

export class Overlay {
  constructor(groups) {
    this.groups = groups.filter(({ runs }) => runs.length > 0);
    this.runs = this.groups.flatMap(({ runs }) => runs);
    this.whole = { from: Math.min(0, ...this.runs.map((run) => run.from_ms)), to: Math.max(1, ...this.runs.map((run) => run.until_ms)) };
    this.near = this.around();
    this.view = this.near;
    this.strips = [];
    this.element = this.build();
  }

  // From a little before the moment until the last thing that happened in any run.
  around() {
    const last = this.runs.map((run) => run.last_ms).filter((ms) => ms !== null && ms > 0);
    if (last.length === 0) return this.whole;
    const to = Math.max(...last);
    return { from: Math.max(this.whole.from, -MARGIN * to), to: to * (1 + MARGIN) };
  }

  build() {
    this.axis = el("span", { class: "axis" });
    const lines = this.groups.flatMap(({ label, runs }) => runs.map((run, n) => this.line(label, run, n)));
    const from = [...new Set(this.runs.map((run) => run.counts_from))].join(", or ");
    return section(
      "overlay",
      "The runs over each other",
      note(
        `Every run from ${from} on (t = 0), all on one scale of time. A column shows the worst of all shards and ` +
          "kinds of operations in its time, as the witnesses saw it; between two arrivals that ended alike it is as they were.",
      ),
      this.near === this.whole ? null : this.buttons(),
      el("div", { class: "laid" }, el("div", { class: "strip head", "aria-hidden": "true" }, el("b", {}), this.axis), lines),
      el("ul", { class: "legend", "aria-label": "Legend" }, STATES.map(([name, text]) => el("li", {}, el("i", { class: `key ${name}` }), text)), this.signs()),
      this.phases(),
    );
  }

  buttons() {
    const made = [["Around t = 0", this.near], ["Whole runs", this.whole]].map(([text, view]) => {
      const button = el("button", { type: "button", "aria-pressed": String(view === this.view) }, text);
      button.addEventListener("click", () => {
        this.view = view;
        for (const each of made) each.setAttribute("aria-pressed", String(each === button));
        this.draw();
      });
      return button;
    });
    return el("div", { class: "tools" }, made);
  }

  line(label, run, n) {
    const canvas = el("canvas", { role: "img", "aria-label": `${label}, ${run.run}: ${told(run)}` });
    const ticks = run.ticks.map((tick) => ({ ...tick, sign: el("i", { class: `tick ${tick.phase}`, title: `${tick.step}: ${tick.words} ${offsetText(tick.at)}` }, PHASE_SIGNS[tick.phase]) }));
    const frame = el("span", { class: "course" }, canvas, ticks.map(({ sign }) => sign));
    this.strips.push({ run, canvas, frame, ticks, picture: new Picture(canvas), row: null });
    const link = run.page ? el("a", { href: run.page, title: `The page of ${run.run}` }, n === 0 ? label : `run ${n + 1}`) : null;
    const name = n === 0 ? el("b", { title: label }, link ?? label) : el("b", link ? {} : { "aria-hidden": "true" }, link);
    return el("div", { class: n === 0 ? "strip first" : "strip", title: run.run }, name, frame);
  }

  signs() {
    const found = new Map(this.runs.flatMap((run) => run.ticks.map(({ phase, words }) => [phase, words])));
    return PHASES.filter((phase) => found.has(phase)).map((phase) => el("li", {}, el("i", { class: `sign ${phase}` }, PHASE_SIGNS[phase]), found.get(phase)));
  }

  // The same in numbers.
  phases() {
    const found = new Map(this.runs.flatMap((run) => run.ticks.map(({ phase, words }) => [phase, words])));
    const phases = PHASES.filter((phase) => found.has(phase));
    if (phases.length === 0) return null;
    const columns = [["group", "text"], ["run", "text"], ["step", "text"], ...phases.map((phase) => [found.get(phase), "number"])];
    const rows = this.groups.flatMap(({ label, runs }) =>
      runs.flatMap((run) =>
        [...new Set(run.ticks.map(({ step }) => step))].map((step) => [
          label,
          run.run,
          step,
          ...phases.map((phase) => {
            const tick = run.ticks.find((each) => each.step === step && each.phase === phase);
            return tick ? offsetText(tick.at) : "-";
          }),
        ]),
      ),
    );
    return el("details", {}, el("summary", {}, "Phases in numbers"), table("When each phase was entered, from t = 0 on", columns, rows));
  }

  async load() {
    for (const strip of this.strips) {
      const { film, zero_ms: zeroMs } = strip.run;
      strip.row = new Worst(makeRows(film, await inflate(film.packed)), zeroMs);
    }
    new ResizeObserver(() => this.draw()).observe(this.axis);
    for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", () => this.draw());
    this.draw();
  }

  draw() {
    const width = Math.max(1, Math.floor(this.axis.clientWidth));
    const colours = readColours(this.element);
    const place = (ms) => `${(((ms - this.view.from) / (this.view.to - this.view.from)) * 100).toFixed(3)}%`;
    for (const { canvas, picture, row, ticks } of this.strips) {
      picture.drawStrip({ view: this.view, row, width, colours });
      [canvas.dataset.from, canvas.dataset.to] = [this.view.from, this.view.to];
      for (const { at, sign } of ticks) {
        sign.hidden = at < this.view.from || at > this.view.to;
        sign.style.left = place(at);
      }
    }
    fillAxis(this.axis, this.view, TICK_PX / width, (ms) => (ms === 0 ? "t = 0" : offsetText(ms)));
  }
}

// A run in words, for those who do not see its strip.
function told(run) {
  const phases = run.ticks.map(({ step, words, at }) => `${step}: ${words} ${offsetText(at)}`);
  return [`${lengthText(run.until_ms - run.from_ms)} long`, ...phases].join("; ");
}
