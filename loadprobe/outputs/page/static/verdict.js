// The verdict: in one sentence, in a few more, and as one small table.

import { el, list, note, table } from "./dom.js";
import { boundsText, countText, fixed, lengthText, percentText } from "./words.js";

const STATES = {
  damaged: "data was lost or wrong",
  outage: "there was an outage",
  invalid: "the run itself went wrong",
  failed: "the scenario failed",
  missed: "an expectation or threshold was missed",
  blind: "the probe was blind for too long",
  clean: "nothing was dark",
  interrupted: "the run was cut short",
  running: "the run still runs",
};
const COLUMNS = [
  ["who", "text"],
  ["dark for", "number"],
  ["at least", "number"],
  ["at most", "number"],
  ["", "bars"],
  ["outages", "number"],
  ["failed", "number"],
  ["available", "number"],
  ["whose fault", "text"],
  ["by plan", "number"],
];

export function verdictSection(run) {
  const { summary } = run;
  const { name, target, started, lasted, scenario } = run.run;
  const headline = summary.headline || STATES[summary.state] || summary.state;
  return el(
    "header",
    { "aria-label": "Verdict" },
    el("p", { class: "what-run" }, `${name} · ${target} · ${started} · ${lasted}${scenario ? ` · scenario ${scenario}` : ""}`),
    el("h1", {}, el("span", { class: `badge state-${summary.state}` }, summary.state), " ", headline),
    summary.verdict.length ? list(summary.verdict) : null,
    missing(run),
    whoWasDown(run),
    facts(run),
  );
}

function missing(run) {
  const told = [...run.missing, ...run.run.problems.map((problem) => `Problem of the run: ${problem}`)];
  if (told.length === 0) return null;
  return el("aside", { class: "missing", "aria-label": "What is missing" }, el("b", {}, "Mind this:"), list(told));
}

// Rows of shards that were dark; one row for all others.
function whoWasDown(run) {
  const { summary } = run;
  const places = summary.lanes.flatMap((lane) => Object.keys(lane.downtime_ms.shards).map((shard) => place(run, lane, shard)));
  const told = places.filter(({ dark, planned }) => dark.upper > 0 || planned.upper > 0);
  told.sort((a, b) => b.dark.upper - a.dark.upper);
  const most = Math.max(1, ...told.map(({ dark }) => dark.upper));
  const rows = told.map(({ who, dark, planned, outages, failed, available, causes }) => [
    who,
    dark.upper ? `${fixed(dark.estimate, digitsOf(dark))} ms` : "0",
    dark.upper ? fixed(dark.lower, digitsOf(dark)) : "",
    dark.upper ? fixed(dark.upper, digitsOf(dark)) : "",
    dark.upper ? errorBars(dark, most) : "",
    countText(outages),
    countText(failed),
    percentText(available),
    causes.join(", ") || "-",
    planned.upper ? lengthText(planned.estimate) : "0",
  ]);
  const others = places.length - told.length;
  if (places.length === 0) return note("No arrival was judged.");
  const rest =
    others === places.length
      ? `No shard was dark on any lane (${places.length} of ${places.length}).`
      : `The other ${others} of ${places.length} (each shard on each lane) were never dark.`;
  return el("div", {}, rows.length ? table("Who was down, for how long", COLUMNS, rows) : null, others ? note(rest) : null);
}

function digitsOf({ upper }) {
  return upper < 100 ? 1 : 0;
}

function place(run, lane, shard) {
  const own = run.summary.scopes.filter((scope) => scope.lane === lane.name && scope.shard === shard);
  const sum = (value) => own.reduce((total, scope) => total + value(scope), 0);
  const arrivals = sum((scope) => scope.arrivals - scope.planned_failed);
  const failed = arrivals - sum((scope) => scope.outcomes.served ?? 0);
  const causes = run.outages.filter((outage) => outage.lane === lane.name && outage.shard === shard && outage.attribution !== "planned");
  return {
    who: `${lane.name}, shard ${shard}`,
    dark: lane.downtime_ms.shards[shard],
    planned: lane.planned_ms.shards[shard] ?? { estimate: 0, lower: 0, upper: 0, unseen: 0 },
    outages: sum((scope) => scope.outages),
    failed,
    available: arrivals > 0 ? (arrivals - failed) / arrivals : null,
    causes: [...new Set(causes.map(({ attribution }) => attribution))],
  };
}

// The estimate as a bar, what is possible as a line over it.
function errorBars({ estimate, lower, upper }, most) {
  const [bar, range] = [el("i", { class: "estimate" }), el("i", { class: "range" })];
  bar.style.width = `${(estimate / most) * 100}%`;
  range.style.left = `${(lower / most) * 100}%`;
  range.style.width = `max(2px, ${((upper - lower) / most) * 100}%)`;
  return el("span", { class: "error-bars", "aria-hidden": "true" }, bar, range);
}

function facts(run) {
  const { summary } = run;
  const told = [
    ["any shard dark", boundsText(summary.downtime_ms.any_shard)],
    ["all shards at once", boundsText(summary.downtime_ms.all_shards)],
    ["lost writes", countText(summary.lost_writes)],
    ["stale reads", countText(summary.stale_reads)],
    ["wrong replies", countText(summary.wrong)],
    ["probe blind", lengthText(summary.observer.blind_ms)],
    ["time clients lost", `${fixed(summary.client_seconds_lost, 1)} s`],
  ];
  if (run.budget) told.push(["error budget", run.budget]);
  return el("dl", { class: "facts" }, told.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}
