// The film: what every scope was like in every millisecond, to be looked at from far and near.

import { DARK, GREY, PLANNED, BLIND, LIT, STATE_WORDS, growRows, inflate, makeRows, nameOf } from "./cells.js";
import { el, note, section } from "./dom.js";
import { Overview } from "./overview.js";
import { Picture, ROW_PX, TRACK_PX, readColours } from "./picture.js";
import { Steering } from "./steering.js";
import { clockText, countText, dateText, lengthText } from "./words.js";

const LEAST_MS = 1;
const MARGIN = 0.02;
const MANY_ROWS = 40;
const LEGEND = [
  [LIT, "served"],
  [GREY, "some failed"],
  [DARK, "dark: all failed"],
  [PLANNED, "dark by plan"],
  [BLIND, "the probe was blind"],
];
const CLASSES = { [LIT]: "lit", [GREY]: "grey", [DARK]: "dark", [PLANNED]: "planned", [BLIND]: "blind" };
const KEYS = "Plus and minus zoom, left and right move, 0 shows everything, n and p go to the next and previous incident, up and down choose a row.";

export function filmSection(run) {
  const film = new Film(run);
  return { element: film.element, film };
}

class Film {
  constructor(run) {
    this.run = run;
    this.zeroUnixMs = run.zero_unix_ns / 1e6;
    const margin = run.length_ms * MARGIN;
    this.limits = { from: -margin, to: run.length_ms + margin };
    this.view = { ...this.limits };
    this.incidents = run.summary.incidents.filter((each) => !each.is_probe_only);
    this.all = [];
    this.rows = [];
    this.selected = null;
    this.build();
    this.listen();
    this.steering = new Steering(this);
  }

  ms(unixNs) {
    return (unixNs - this.run.zero_unix_ns) / 1e6;
  }

  build() {
    this.canvas = el("canvas", {
      class: "film",
      tabindex: "0",
      role: "application",
      "aria-label": `Film of the run. ${KEYS}`,
      "aria-describedby": "film-reading",
    });
    this.labels = el("div", { class: "labels", "aria-hidden": "true" });
    this.tip = el("div", { class: "tip", hidden: true, role: "tooltip" });
    this.selection = el("div", { class: "selection", hidden: true });
    this.frame = el("div", { class: "frame" }, this.canvas, this.selection, this.tip);
    this.reading = el("p", { id: "film-reading", class: "reading", "aria-live": "polite" }, "Reading the cells ...");
    this.link = el("a", { href: "#", class: "link" }, "link to this view");
    this.onlyFailed = el("input", { type: "checkbox", id: "film-only-failed" });
    this.picture = new Picture(this.canvas);
    this.overview = new Overview((ms) => this.center(ms));
    const legend = LEGEND.map(([state, text]) => el("li", {}, el("i", { class: `key ${CLASSES[state]}` }), text));
    this.element = section(
      "film",
      "The film",
      this.toolbar(),
      el("div", { class: "stage" }, el("div", {}), this.overview.canvas, this.labels, this.frame),
      this.reading,
      el("ul", { class: "legend", "aria-label": "Legend" }, legend),
      note(
        "A column shows the worst of its time, so that no dark millisecond disappears. Pale: nothing was due in " +
          "between. The bars below a row are outages, thick as estimated and thin to where they may reach. " +
          "▲ step or phase, ◆ provider, ⚑ mark, ● topology, ▮ own stall, · other events. Times are UTC.",
      ),
    );
    if (this.run.film.is_thinned) {
      this.element.append(note("It would be too long for a page: of cells that are alike only one for every second is here. Counts are those of the cells that are."));
    }
  }

  toolbar() {
    const button = (text, label, act) => {
      const made = el("button", { type: "button", "aria-label": label, title: label }, text);
      made.addEventListener("click", act);
      return made;
    };
    return el(
      "div",
      { class: "tools", role: "toolbar", "aria-label": "Film" },
      button("−", "Zoom out", () => this.zoom(2)),
      button("+", "Zoom in", () => this.zoom(0.5)),
      button("Everything", "Show the whole run", () => this.show(this.limits)),
      this.incidents.length || this.run.state ? button("◂ Incident", "Previous incident", () => this.jump(-1)) : null,
      this.incidents.length || this.run.state ? button("Incident ▸", "Next incident", () => this.jump(1)) : null,
      el("label", { for: "film-only-failed" }, this.onlyFailed, " only rows with failures"),
      this.link,
      el("span", { class: "hint" }, "Drag to zoom in, shift and drag to move; click, then turn the wheel; double-click for everything."),
    );
  }

  listen() {
    this.onlyFailed.addEventListener("change", () => this.chooseRows());
    new ResizeObserver(() => this.draw()).observe(this.frame);
    for (const query of ["(prefers-color-scheme: dark)", "print"]) {
      matchMedia(query).addEventListener("change", () => this.paint());
    }
    window.addEventListener("hashchange", () => this.readHash());
  }

  async load() {
    const film = this.run.film;
    this.all = makeRows(film, await inflate(film.packed));
    const failed = this.all.filter((row) => row.hasFailed).length;
    this.onlyFailed.checked = this.all.length > MANY_ROWS && failed > 0;
    this.chooseRows();
    this.reading.textContent = this.all.length ? "" : "No arrival was due: there is nothing to see.";
    this.readHash();
    this.draw();
  }

  // Whether all of the run is in view; what is new is in view then, too.
  get isFollowing() {
    const [before, after] = [this.view.from - this.limits.from, this.limits.to - this.view.to];
    return Math.max(before, after) < LEAST_MS / 2;
  }

  // Show more of a run that goes on: it has grown already, these are the new cells.
  grow(film, buffer) {
    const { isFollowing } = this;
    const margin = this.run.length_ms * MARGIN;
    this.limits = { from: -margin, to: this.run.length_ms + margin };
    if (isFollowing) this.view = { ...this.limits };
    this.incidents = this.run.summary.incidents.filter((each) => !each.is_probe_only);
    const shown = () => this.all.filter((row) => row.hasFailed || !this.onlyFailed.checked).length;
    const before = shown();
    this.all = growRows(this.all, film, buffer, this.run.film.blind);
    if (before !== shown()) this.chooseRows();
    else this.placeOutages();
    this.reading.textContent = this.all.length ? "" : this.reading.textContent;
    this.draw();
  }

  chooseRows() {
    this.rows = this.onlyFailed.checked ? this.all.filter((row) => row.hasFailed) : this.all;
    this.selected = null;
    this.placeOutages();
    this.labelRows();
    this.draw();
  }

  placeOutages() {
    const spans = new Map();
    for (const outage of this.run.outages) {
      const key = nameOf(outage);
      if (!spans.has(key)) spans.set(key, []);
      spans.get(key).push(this.span(outage));
    }
    this.outages = this.rows.map((row) => spans.get(nameOf(row)) ?? []);
  }

  labelRows() {
    let lane = null;
    const labels = this.rows.map((row) => {
      const isNew = row.lane !== lane;
      lane = row.lane;
      const name = isNew ? el("b", {}, row.lane) : null;
      return el("div", { title: `${row.lane} ${row.shard} ${row.op}` }, name, el("span", {}, `${row.shard} ${row.op.replace("_", " ")}`));
    });
    this.labels.replaceChildren(...labels);
  }

  span(outage) {
    const [start, end] = [this.ms(outage.start_unix_ns), this.ms(outage.end_unix_ns)];
    const slack = Math.max(0, outage.upper_ms - outage.duration_ms) / 2;
    const isPlanned = outage.attribution === "planned";
    return { outage, start, end, earliest: start - slack, latest: end + slack, isPlanned };
  }

  // what is shown

  show({ from, to }) {
    const span = Math.min(Math.max(to - from, LEAST_MS), this.limits.to - this.limits.from);
    const start = Math.min(Math.max(from, this.limits.from), this.limits.to - span);
    this.view = { from: start, to: start + span };
    this.link.setAttribute("href", this.hash());
    clearTimeout(this.pending);
    this.pending = setTimeout(() => history.replaceState(null, "", this.hash()), 150);
    this.draw();
  }

  zoom(factor, at = (this.view.from + this.view.to) / 2) {
    const { from, to } = this.view;
    const span = Math.max((to - from) * factor, LEAST_MS);
    const share = (at - from) / (to - from);
    this.show({ from: at - share * span, to: at + (1 - share) * span });
  }

  move(share) {
    const step = (this.view.to - this.view.from) * share;
    this.show({ from: this.view.from + step, to: this.view.to + step });
  }

  center(ms) {
    const half = (this.view.to - this.view.from) / 2;
    this.show({ from: ms - half, to: ms + half });
  }

  showSpan(startUnixNs, endUnixNs) {
    const [start, end] = [this.ms(startUnixNs), this.ms(endUnixNs)];
    const around = Math.max((end - start) * 0.25, 20);
    this.show({ from: start - around, to: end + around });
  }

  jump(direction) {
    const middle = (this.view.from + this.view.to) / 2;
    const isWide = this.view.to - this.view.from > 0.9 * (this.limits.to - this.limits.from);
    const from = isWide ? (direction > 0 ? -Infinity : Infinity) : middle;
    const middles = this.incidents.map((each) => [(this.ms(each.start_unix_ns) + this.ms(each.end_unix_ns)) / 2, each]);
    const ahead = middles.filter(([at]) => (at - from) * direction > 0.5);
    const next = (direction > 0 ? ahead[0] : ahead.at(-1)) ?? null;
    if (next !== null) this.showSpan(next[1].start_unix_ns, next[1].end_unix_ns);
  }

  hash() {
    return `#t=${this.view.from.toFixed(3)}..${this.view.to.toFixed(3)}`;
  }

  readHash() {
    const found = /^#t=(-?[\d.]+)\.\.(-?[\d.]+)$/.exec(location.hash);
    if (found === null) return;
    const [from, to] = [Number(found[1]), Number(found[2])];
    if (Number.isFinite(from) && Number.isFinite(to) && to > from) this.show({ from, to });
  }

  // drawing

  draw() {
    if (this.isWaiting) return;
    this.isWaiting = true;
    requestAnimationFrame(() => {
      this.isWaiting = false;
      this.paint();
    });
  }

  paint() {
    const width = Math.floor(this.frame.clientWidth);
    if (width < 1 || this.outages === undefined) return;
    const colours = readColours(this.element);
    this.overview.draw({ rows: this.rows, limits: this.limits, view: this.view, width, colours });
    this.picture.draw({
      view: this.view,
      rows: this.rows,
      markers: this.run.events,
      outages: this.outages,
      selected: this.selected,
      zeroUnixMs: this.zeroUnixMs,
      width,
      colours,
    });
    this.canvas.dataset.from = this.view.from;
    this.canvas.dataset.to = this.view.to;
  }

  // asking what is there

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    const perPx = (this.view.to - this.view.from) / box.width;
    const row = Math.floor((y - TRACK_PX) / ROW_PX);
    return { x, y, perPx, ms: this.view.from + x * perPx, row: this.rows[row] ? row : null };
  }

  // Lines about [from, to) ms of a row.
  about(index, from, to) {
    const row = this.rows[index];
    const { state, isPale } = row.worst(from, to);
    const { cells, arrivals } = row.tally(from, to);
    const lines = [`${row.lane}, shard ${row.shard}, ${row.op.replace("_", " ")}`, this.timeText(from, to)];
    const most = to - from > 1 ? `at worst: ${STATE_WORDS[state]}` : STATE_WORDS[state];
    lines.push(isPale ? `nothing due; ${STATE_WORDS[state]} before and after` : most);
    const counts = this.run.film.outcomes.map((name, o) => [name, arrivals[o]]).filter(([, n]) => n > 0);
    if (counts.length) lines.push(counts.map(([name, n]) => `${name} ${countText(n)}`).join(", "));
    const wordy = cells.map((n, s) => [STATE_WORDS[s], n]).filter(([, n]) => n > 0);
    if (wordy.length && to - from > 1) lines.push(wordy.map(([word, n]) => `${countText(n)} ms ${word}`).join(", "));
    for (const { outage, earliest, latest } of this.outages[index]) {
      if (earliest < to && from < latest) lines.push(...outageLines(outage));
    }
    return lines;
  }

  timeText(from, to) {
    const start = this.zeroUnixMs + from;
    const length = to - from < 1 ? "" : ` + ${lengthText(to - from)}`;
    return `${clockText(start)} UTC${length} (${lengthText(from)} after the start)`;
  }

  aboutMarkers(from, to) {
    const near = this.run.events.filter(({ at }) => at >= from && at < to);
    const lines = near.slice(0, 8).map(({ at, text }) => `${clockText(this.zeroUnixMs + at)} ${text}`);
    return near.length > 8 ? [...lines, `and ${near.length - 8} more`] : lines;
  }

  select(step) {
    if (this.rows.length === 0) return;
    const count = this.rows.length;
    this.selected = this.selected === null ? (step > 0 ? 0 : count - 1) : (this.selected + step + count) % count;
    this.draw();
  }

  // Say in words what is in view, for the row that is chosen.
  read() {
    const { from, to } = this.view;
    const view = `${dateText(this.zeroUnixMs + from)}, ${lengthText(to - from)}`;
    const row = this.selected === null ? "" : `: ${this.about(this.selected, from, to).join("; ")}`;
    this.reading.textContent = `In view: ${view}${row}`;
  }
}

function outageLines(outage) {
  const classes = Object.entries(outage.classes).sort((a, b) => b[1] - a[1]);
  const lower = lengthText(outage.lower_ms);
  return [
    `outage of ${lengthText(outage.duration_ms)}, at least ${lower}, at most ${lengthText(outage.upper_ms)}: ${outage.attribution}`,
    classes.map(([name, count]) => `${name} ${countText(count)}`).join(", "),
  ];
}
