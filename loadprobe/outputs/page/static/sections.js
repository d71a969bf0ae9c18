// The parts of the page below the film.

import { countCharts, latencyCharts } from "./charts.js";
import { el, list, note, section, table } from "./dom.js";
import { heatMaps } from "./heat.js";
import { metricCharts, serverCharts, serverTable } from "./servers.js";
import { waterfall } from "./waterfall.js";
import { boundsText, clockText, countText, dateText, fixed, lengthText, percentText } from "./words.js";

const MOST_ROWS = 200;

// A moment as a link that shows it in the film.
function momentLink(film, startUnixNs, endUnixNs) {
  const link = el("a", { href: "#film" }, clockText(startUnixNs / 1e6));
  link.addEventListener("click", (event) => {
    event.preventDefault();
    film.showSpan(startUnixNs, endUnixNs);
    film.element.scrollIntoView({ block: "start" });
    film.canvas.focus({ preventScroll: true });
  });
  return link;
}

function more(rows, what) {
  return rows.length > MOST_ROWS ? note(`${countText(rows.length - MOST_ROWS)} more ${what} are in the run folder.`) : null;
}

// Names with their counts, the largest first.
function ranked(counts) {
  return Object.entries(counts)
    .sort((a, b) => b[1] - a[1])
    .map(([name, count]) => `${name} ${countText(count)}`)
    .join(", ");
}

export function incidentsSection(run, film) {
  const told = run.summary.incidents.filter((each) => !each.is_probe_only);
  if (told.length === 0) return null;
  const columns = [["", "number"], ["when (UTC)", "text"], ["dark, any shard", "number"], ["who", "text"], ["why", "text"], ["changed", "text"]];
  const rows = told.slice(0, MOST_ROWS).map((each) => [
    each.number,
    momentLink(film, each.start_unix_ns, each.end_unix_ns),
    each.is_planned ? "by plan" : boundsText(each.dark_ms),
    each.where,
    each.why,
    each.steps.join(", ") || "-",
  ]);
  return section("incidents", "Incidents", table("Incidents; a time shows it in the film", columns, rows), more(told, "incidents"));
}

export function stepsSection(run) {
  const { scenario } = run.summary;
  if (!scenario) return null;
  const made = section(
    "steps",
    `Scenario ${scenario.name}: ${scenario.state}`,
    scenario.reason ? el("p", {}, scenario.reason) : null,
    note("From the API call of each step on: what the controller saw, what the load saw, and what the provider says, by its own clock. A bar is where the moment may lie."),
    scenario.steps.map((step) => waterfall(step, run.calls[step.name], run.phase_words)),
  );
  if (scenario.outages_outside) made.append(note(`${countText(scenario.outages_outside)} outages belong to none of the steps.`));
  if (scenario.expectations.length) {
    const words = new Map([[true, "met"], [false, "MISSED"], [null, "open"]]);
    const rows = scenario.expectations.map(({ what, is_met: isMet, detail }) => [what, words.get(isMet), detail]);
    made.append(table("Expectations", [["what", "text"], ["", "text"], ["detail", "text"]], rows));
  }
  return made;
}

export function timeSection(run) {
  const { summary } = run;
  const ms = (unixNs) => (unixNs - run.zero_unix_ns) / 1e6;
  const bands = summary.incidents
    .filter((each) => !each.is_probe_only)
    .map((each) => ({ from: ms(each.start_unix_ns), to: ms(each.end_unix_ns) }));
  const common = { times: run.course.at, zeroUnixMs: run.zero_unix_ns / 1e6, lengthMs: run.length_ms, bands };
  const plots = [...latencyCharts(run, common), ...heatMaps(run, common), ...countCharts(run, common)];
  const servers = serverCharts(run, common);
  const metrics = metricCharts(run, common);
  const columns = [["", "text"], ["lane", "text"], ["seconds", "number"], ["offered/s", "number"], ["failed", "number"], ["p50", "number"], ["p99", "number"], ["p99.9", "number"], ["max", "number"]];
  const rows = run.stretches.map((each) => [
    each.stretch,
    each.lane,
    countText(each.seconds),
    fixed(each.offered / Math.max(1, each.seconds), 0),
    countText(each.failed),
    ...[each.p50, each.p99, each.p99_9, each.max].map(lengthText),
  ]);
  return section(
    "time",
    "Over time",
    plots.length ? el("div", { class: "charts" }, plots) : note("What is told of seconds is not there, so there are no charts."),
    plots.length ? note("Shaded: incidents. Steps of time are single seconds round incidents and changes, and longer elsewhere; quantiles are of all their arrivals.") : null,
    servers.length ? el("h3", {}, "Servers, over the same time") : null,
    servers.length ? el("div", { class: "charts" }, servers) : null,
    serverTable(run),
    metrics.length ? el("div", { class: "charts" }, metrics) : null,
    run.cloudwatch.notes.map((text) => note(text)),
    rows.length ? table("Before, meanwhile, after: response times of served and late arrivals", columns, rows) : null,
    latencyTable(summary),
    classTable(summary),
  );
}

function latencyTable(summary) {
  const columns = [["lane", "text"], ["op", "text"], ["time", "text"], ["p50", "number"], ["p90", "number"], ["p99", "number"], ["p99.9", "number"], ["max", "number"], ["count", "number"]];
  const rows = summary.lanes.flatMap((lane) =>
    [["response", lane.response_ms], ["service", lane.service_ms]].flatMap(([kind, byOp]) =>
      Object.entries(byOp).map(([op, q]) => [lane.name, op, kind, ...[q.p50, q.p90, q.p99, q.p99_9, q.max].map(lengthText), countText(q.count)]),
    ),
  );
  return rows.length ? table("Latency over the whole run", columns, rows) : null;
}

function classTable(summary) {
  const failing = summary.scopes.filter(({ classes }) => Object.keys(classes).length > 0);
  if (failing.length === 0) return null;
  const rows = failing.slice(0, MOST_ROWS).map((scope) => {
    const outcomes = Object.entries(scope.outcomes).filter(([name, count]) => name !== "served" && count > 0);
    return [`${scope.lane}, shard ${scope.shard}`, scope.op, ranked(scope.classes), ranked(Object.fromEntries(outcomes))];
  });
  const columns = [["who", "text"], ["op", "text"], ["classes", "text"], ["outcomes", "text"]];
  return el("div", {}, table("Failures by class, those by plan too", columns, rows), more(failing, "scopes"));
}

export function causeSection(run, film) {
  const { summary, outages } = run;
  const parts = [outageTable(run, film), blastTable(summary), ...summary.clients.slice(0, 20).map((each) => clientTable(each))].filter(Boolean);
  if (parts.length === 0) return null;
  const made = section("cause", "Whose fault, and by what evidence", ...parts);
  if (run.outages_left_out) made.append(note(`The ${countText(outages.length)} longest outages are here; ${countText(run.outages_left_out)} more are in outages.json.`));
  return made;
}

function outageTable({ outages }, film) {
  if (outages.length === 0) return null;
  const columns = [["when (UTC)", "text"], ["who", "text"], ["dark", "number"], ["cause", "text"], ["evidence", "text"], ["classes", "text"]];
  const rows = outages.slice(0, MOST_ROWS).map((each) => [
    momentLink(film, each.start_unix_ns, each.end_unix_ns),
    `${each.lane}, shard ${each.shard}, ${each.op}`,
    boundsText({ estimate: each.duration_ms, lower: each.lower_ms, upper: each.upper_ms, unseen: each.unseen_ms }) + (each.open_end ? ", open" : ""),
    each.attribution,
    each.evidence,
    ranked(each.classes),
  ]);
  return el("div", {}, table("Outages, each with its cause and the evidence for it", columns, rows), more(outages, "outages"));
}

function blastTable(summary) {
  const rows = (summary.scenario?.steps ?? []).flatMap((step) =>
    step.lanes
      .filter(({ blast_radius: blast }) => blast)
      .map(({ lane, blast_radius: blast }) => [
        step.name,
        lane,
        blast.shards.join(", "),
        countText(blast.failed),
        blast.worst_p99_ms === null ? "-" : `${lengthText(blast.worst_p99_ms)} on ${blast.shard} (${lengthText(blast.baseline_p99_ms)} before)`,
      ]),
  );
  if (rows.length === 0) return null;
  const columns = [["step", "text"], ["lane", "text"], ["other shards", "text"], ["failed there", "number"], ["p99 at worst", "text"]];
  return table("Blast radius: what steps did to shards they were not about", columns, rows);
}

function clientTable({ about, start_unix_ns: start, rows }) {
  const columns = [["", "text"], ["back after", "number"], ["dark", "number"], ["beyond the witness", "number"], ["longest on a shard", "number"], ["late", "number"], ["errors raised", "number"], ["worst reply", "number"], ["tries per arrival (at rest)", "number"]];
  const rate = (value, rest) => (value === null ? "-" : `${fixed(value, 1)}${rest === null ? "" : ` (${fixed(rest, 1)})`}`);
  return table(
    `Clients ranked: ${about}, from ${clockText(start / 1e6)} UTC`,
    columns,
    rows.map((row) => [
      `${row.rank === null ? "witness" : `${row.rank}.`} ${row.lane}`,
      row.recovered_ms === null ? "never" : lengthText(row.recovered_ms),
      lengthText(row.dark_ms.estimate),
      row.beyond_witness_ms === null ? "-" : lengthText(row.beyond_witness_ms.estimate),
      lengthText(row.longest_ms),
      countText(row.failed.late ?? 0),
      row.rank === null ? "-" : countText(row.raised),
      lengthText(row.worst_response_ms),
      rate(row.rates.attempts_per_arrival, row.rates_at_rest.attempts_per_arrival),
    ]),
  );
}

export function checksSection(run) {
  const { slo, error_budget: budget, connects } = run.summary;
  const parts = [];
  if (slo.length) {
    const rows = slo.map((each) => [each.name, String(each.limit), each.actual === null ? "no value" : String(Number(each.actual.toPrecision(6))), each.is_met ? "met" : "MISSED"]);
    parts.push(table("Thresholds", [["", "text"], ["limit", "number"], ["was", "number"], ["", "text"]], rows));
  }
  if (budget) {
    const rows = budget.places.flatMap((place) =>
      place.periods.map((row) => [`${place.lane}, shard ${place.shard}`, row.period, `${fixed(row.used_s.estimate, 1)} s`, `${fixed(row.allowed_s, 1)} s`, row.left_ratio === null ? "-" : percentText(row.left_ratio)]),
    );
    parts.push(table(`Error budget (${budget.target} available), over all runs`, [["who", "text"], ["period", "text"], ["used", "number"], ["allowed", "number"], ["left", "number"]], rows));
  }
  if (connects.length) {
    const rows = connects.map((each) => [each.lane, countText(each.arrivals), percentText(each.availability), boundsText(each.downtime_ms.any_shard), lengthText(each.response_ms.p50), lengthText(each.response_ms.p99)]);
    parts.push(table("New connections; they are in none of the dark times above", [["lane", "text"], ["made", "number"], ["available", "number"], ["none taken", "number"], ["p50", "number"], ["p99", "number"]], rows));
  }
  return parts.length ? section("checks", "Thresholds, budget and connections", ...parts) : null;
}

export function observerSection(run) {
  const { observer, lanes, duration_s: seconds } = run.summary;
  const lateness = observer.lateness_ms;
  const told = [
    `It was blind for ${lengthText(observer.blind_ms)}; that is neither downtime nor served. ${countText(observer.unseen_arrivals)} arrivals fell into it.`,
    `Its event loop was late by ${lengthText(observer.max_loop_lag_ms)} at most, and paused for ${lengthText(observer.max_gc_pause_ms)} to collect garbage.`,
    `Arrivals were sent after they were due by ${lengthText(lateness.p50)} (p50), ${lengthText(lateness.p99)} (p99), ${lengthText(lateness.max)} at most; ${countText(observer.late_sends)} late sends, ${countText(observer.skipped)} skipped.`,
    `It took ${fixed(seconds ? observer.cpu_seconds / seconds : 0, 2)} cores.`,
  ];
  if (observer.dropped_outages) told.push(`${countText(observer.dropped_outages)} outages were not kept: there were too many.`);
  for (const lane of lanes.filter(({ blind_ms: blind }) => blind > 0)) told.push(`Lane ${lane.name} was blind for ${lengthText(lane.blind_ms)}.`);
  return section("observer", "What the probe could not see", list(told));
}

export function eventsSection(run, film) {
  if (run.events.length === 0) return null;
  const zero = run.zero_unix_ns;
  const rows = run.events.slice(0, 1000).map(({ at, text }) => [momentLink(film, zero + (at - 500) * 1e6, zero + (at + 500) * 1e6), text]);
  const left = run.events.length - rows.length + run.events_left_out;
  return section(
    "events",
    "Events",
    el("details", {}, el("summary", {}, `${countText(run.events.length)} events`), table("Events by time", [["when (UTC)", "text"], ["what", "text"]], rows)),
    left ? note(`${countText(left)} more are in events.ndjson.`) : null,
  );
}

export function setupSection(run) {
  const { lanes, topology_start: start, topology_end: end, versions, host, config_toml: config, config_digest: digest, scenario, clock_offset_ms: offset } = run.run;
  const columns = [["lane", "text"], ["driver", "text"], ["TLS", "text"], ["loop", "text"], ["arrivals/s", "number"], ["workers", "number"], ["processes", "number"], ["deadline", "number"]];
  const rows = lanes.map((lane) => [lane.name, lane.driver, lane.tls ? "yes" : "no", lane.loop, countText(lane.rate_per_s), countText(lane.workers), countText(lane.processes), `${lane.deadline_ms} ms`]);
  const about = [...Object.entries(versions), ...Object.entries(host).map(([name, value]) => [`host ${name}`, value])];
  if (offset !== null) about.push(["provider's clock minus ours", lengthText(offset)]);
  return section(
    "setup",
    "How it was run",
    table("Lanes", columns, rows),
    topologyTable(start, end, run.state !== undefined),
    table("Versions and host", [["", "text"], ["", "text"]], about),
    el("h3", {}, "To run it again"),
    el("p", {}, "With this configuration (secrets are references) in ", el("code", {}, "run.toml"), ":"),
    el("pre", { tabindex: "0" }, `loadprobe run run.toml${scenario ? ` --scenario ${scenario}` : run.state ? "" : ` --for ${Math.max(1, Math.round(run.summary.duration_s))}s`}`),
    el("details", {}, el("summary", {}, `run.toml, ${digest}`), el("pre", { tabindex: "0" }, config)),
    el("p", { class: "note" }, `Run folder ${run.run.folder}${run.state ? "" : `; ended ${dateText(run.summary.end_unix_ns / 1e6)}`}. What the words mean: docs/measuring.md.`),
  );
}

function topologyTable(start, end, isLive) {
  if (!start && !end) return note("The topology was not seen.");
  const names = [...new Set([...Object.keys(start ?? {}), ...Object.keys(end ?? {})])].sort();
  const nodes = (shard) => (shard ? `${shard.primary}${(shard.replicas ?? []).map((node) => `, ${node}`).join("")}` : "-");
  const slots = (shard) => (shard?.ranges ?? []).map((range) => range.join("-")).join(", ");
  const rows = names.map((name) => [name, slots(end?.[name] ?? start?.[name]), nodes(start?.[name]), ...(isLive ? [] : [nodes(end?.[name])])]);
  const columns = [["shard", "text"], ["slots", "text"], ["at the start", "text"]];
  return table("Topology: primary, replicas", isLive ? columns : [...columns, ["at the end", "text"]], rows);
}
