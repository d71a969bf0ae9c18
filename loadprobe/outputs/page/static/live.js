// The page that watches a run: what the server tells of it is shown as it comes.

import { inflate } from "./cells.js";
import { chart, countCharts, latencyCharts } from "./charts.js";
import { el, note, section, table } from "./dom.js";
import { filmSection } from "./film.js";
import { grow } from "./growth.js";
import { heatMaps } from "./heat.js";
import { causeSection, checksSection, eventsSection, incidentsSection, observerSection, setupSection, stepsSection } from "./sections.js";
import { serverCharts, serverTable } from "./servers.js";
import { verdictSection } from "./verdict.js";
import { clockText, countText, fixed, lengthText } from "./words.js";

const AGAIN_MS = 5_000;
const WORDS = {
  waiting: "Waiting for the run to begin.",
  on: "Live, once a second.",
  ending: "The load has ended; the verdict is being made.",
  lost: "The connection is lost; trying again. The run may have ended, or been killed.",
};
const SHARDS = { lit: "served", grey: "some failed", dark: "dark", planned: "dark by plan", blind: "probe blind", blank: "nothing due" };

class LivePage {
  constructor(page) {
    this.page = page;
    this.run = null;
    this.work = Promise.resolve();
    this.grown = 0;
    this.status = el("span", { role: "status" });
    this.clock = el("span", { class: "clock" });
    this.bar = el("p", { class: "live" }, el("i", { class: "pulse", "aria-hidden": "true" }), this.status, this.clock);
    this.body = el("div", {});
    page.replaceChildren(this.bar, this.body);
    this.say("waiting");
    this.listen();
  }

  say(state, ...more) {
    if (this.state === state) return;
    this.state = state;
    this.status.replaceChildren(...(more.length ? more : [WORDS[state]]));
    document.documentElement.dataset.live = state;
  }

  listen() {
    const source = new EventSource("live");
    const on = (name, act) =>
      source.addEventListener(name, (event) => {
        const told = JSON.parse(event.data);
        // One after the other: cells are unpacked meanwhile.
        this.work = this.work.then(() => act(told));
      });
    on("document", (run) => this.show(run));
    on("grown", (part) => this.grow(part));
    on("ended", ({ page }) => {
      source.close();
      this.end(page);
    });
    source.addEventListener("error", () => {
      if (this.state === "ended") return;
      if (this.run !== null) this.say("lost");
      if (source.readyState !== EventSource.CLOSED) return;
      source.close(); // refused: the browser would not try again
      setTimeout(() => this.listen(), AGAIN_MS);
    });
  }

  async show(run) {
    const before = this.run;
    this.run = run;
    const { element, film } = filmSection(run);
    const kept = before !== null && !this.film.isFollowing ? this.film.view : null;
    const shift = before === null ? 0 : (before.zero_unix_ns - run.zero_unix_ns) / 1e6;
    this.film = film;
    this.parts = new Map();
    this.charts = new LiveCharts();
    const places = ["verdict", "now", "film", "incidents", "steps", "time", "servers", "cause", "checks", "observer", "events", "setup"];
    this.places = new Map(places.map((name) => [name, el("div", {})]));
    this.places.get("film").append(element);
    this.places.get("time").append(section("time", "Over time", this.charts.element, note("Shaded: incidents. A step is a second; quantiles are of all its arrivals.")));
    this.body.replaceChildren(...this.places.values());
    this.update();
    this.put("setup", () => setupSection(run));
    await film.load();
    if (kept !== null) film.show({ from: kept.from + shift, to: kept.to + shift });
    document.documentElement.dataset.state = "shown";
    document.documentElement.dataset.film = "shown";
  }

  async grow(part) {
    if (this.run === null) return;
    const buffer = await inflate(part.film.packed);
    grow(this.run, part);
    this.film.grow(part.film, buffer);
    this.update();
    this.grown += 1;
    document.documentElement.dataset.grown = this.grown;
  }

  update() {
    const { run, film } = this;
    this.say(run.state === "ending" ? "ending" : "on");
    this.clock.textContent = ` Judged until ${clockText(run.summary.end_unix_ns / 1e6, 0)} UTC.`;
    this.put("verdict", () => verdictSection(run));
    this.put("now", () => nowSection(run));
    this.put("incidents", () => incidentsSection(run, film), run.summary.incidents);
    this.put("steps", () => stepsSection(run), run.summary.scenario);
    this.put("cause", () => causeSection(run, film), [run.outages, run.summary.clients]);
    this.put("checks", () => checksSection(run), run.summary.slo);
    this.put("servers", () => serverTable(run));
    this.put("observer", () => observerSection(run));
    this.put("events", () => eventsSection(run, film), run.events.length);
    this.charts.update(run);
  }

  // A part is made anew if it has changed, and nobody is in the middle of using it.
  put(name, make, about = null) {
    const place = this.places.get(name);
    const known = about === null ? null : JSON.stringify(about);
    if (known !== null && this.parts.get(name) === known) return;
    if (place.contains(document.activeElement) || isSelected(place)) return;
    this.parts.set(name, known);
    const isOpen = place.querySelector("details")?.open ?? false;
    const made = make();
    if (isOpen) made?.querySelector("details")?.setAttribute("open", "");
    place.replaceChildren(...(made === null ? [] : [made]));
  }

  end(page) {
    const where = page === null ? ["It has no page; see its folder."] : ["All of it is on its own page: ", el("code", {}, page)];
    this.say("ended", "The run has ended. ", ...where);
    this.clock.textContent = "";
  }
}

function isSelected(place) {
  const selection = getSelection();
  return selection !== null && !selection.isCollapsed && place.contains(selection.anchorNode);
}

// Charts that stay while their data grow.
class LiveCharts {
  constructor() {
    this.element = el("div", { class: "charts" });
    this.figures = new Map();
    this.common = { bands: [] };
  }

  update(run) {
    const ms = (unixNs) => (unixNs - run.zero_unix_ns) / 1e6;
    const bands = run.summary.incidents
      .filter((each) => !each.is_probe_only)
      .map((each) => ({ from: ms(each.start_unix_ns), to: ms(each.end_unix_ns) }));
    Object.assign(this.common, { times: run.course.at, zeroUnixMs: run.zero_unix_ns / 1e6, lengthMs: run.length_ms, bands });
    const known = (spec) => {
      const figure = this.figures.get(spec.title);
      if (figure === undefined) this.add(spec.title, chart(spec));
      else figure.refresh(spec);
    };
    latencyCharts(run, this.common, known);
    const maps = run.course.heat.lanes.map(({ lane }) => `heat ${lane}`);
    if (maps.some((name) => !this.figures.has(name))) {
      heatMaps(run, this.common).forEach((figure, n) => {
        if (!this.figures.has(maps[n])) this.add(maps[n], figure);
      });
    }
    maps.forEach((name) => this.figures.get(name).refresh());
    countCharts(run, this.common, known);
    serverCharts(run, this.common, known);
  }

  add(name, figure) {
    this.figures.set(name, figure);
    this.element.append(figure);
  }
}

function nowSection(run) {
  const columns = [["lane", "text"], ["shards", "text"], ["offered/s", "number"], ["served/s", "number"], ["failed/s", "text"], ["p50", "number"], ["p99", "number"], ["connections", "number"]];
  const rows = run.now.map((lane) => [
    lane.name,
    el("span", { class: "shards" }, Object.entries(lane.shards).map(([name, shard]) => shardNow(run, name, shard))),
    fixed(lane.offered_per_s, 0),
    fixed(lane.served_per_s, 0),
    Object.entries(lane.errors_per_s).map(([name, rate]) => `${name} ${fixed(rate, 0)}`).join(", ") || "0",
    lengthText(lane.p50_ms),
    lengthText(lane.p99_ms),
    countText(lane.connections),
  ]);
  return section("now", "Now", table("The last seconds", columns, rows));
}

function shardNow(run, name, { state, dark_since_unix_ns: since }) {
  const length = since === null ? "" : ` for ${lengthText(Math.max(0, (run.summary.end_unix_ns - since) / 1e6))}`;
  return el("span", { class: `shard is-${state}` }, `${name} ${SHARDS[state] ?? state}${length}`);
}

new LivePage(document.getElementById("page"));
