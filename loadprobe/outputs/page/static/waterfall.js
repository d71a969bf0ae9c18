// The phases of a step below each other, with the provider's events beside ours.

import { el } from "./dom.js";
import { lengthText, offsetText } from "./words.js";

// step: as in summary.json; call: the API call; words: of the phases.
export function waterfall(step, call, words) {
  const rows = moments(step, words).sort((a, b) => a.at - b.at);
  const from = Math.min(0, ...rows.map(({ earliest, at }) => earliest ?? at));
  const to = Math.max(1, ...rows.map(({ latest, at }) => latest ?? at));
  const share = (ms) => `${(((ms - from) / (to - from)) * 100).toFixed(3)}%`;
  const name = step.name === step.operation ? step.operation : `${step.name}: ${step.operation}`;
  const where = step.shards.length ? `, shard ${step.shards.join(", ")}` : "";
  return el(
    "div",
    { class: "step" },
    el("h3", {}, `${name}${where}: ${step.state}`),
    step.reason ? el("p", {}, step.reason) : null,
    call ? el("p", { class: "call" }, el("code", {}, call)) : null,
    rows.length
      ? el(
          "ol",
          { class: "waterfall", "aria-label": `Phases of ${step.name}, from the API call on` },
          rows.map((row) => line(row, share)),
        )
      : el("p", {}, "It has no phases."),
  );
}

function line({ who, kind, text, at, earliest, latest }, share) {
  const dot = el("i", { class: `dot ${kind}` });
  dot.style.left = share(at);
  const track = el("span", { class: "track", "aria-hidden": "true" }, dot);
  if (earliest !== null && latest !== null) {
    const bar = el("i", { class: "bar" });
    bar.style.left = share(earliest);
    bar.style.right = `calc(100% - ${share(latest)})`;
    track.prepend(bar);
  }
  const bounds = earliest === null || latest === null ? "" : ` [${offsetText(earliest)}, ${offsetText(latest)}]`;
  return el(
    "li",
    { class: kind },
    el("span", { class: "what" }, el("b", {}, who), ` ${text}`),
    track,
    el("span", { class: "when" }, offsetText(at), el("small", {}, bounds)),
  );
}

function moments(step, words) {
  const ofLoad = new Set(step.lanes.flatMap(({ phases }) => phases.map(({ phase }) => phase)));
  const rows = step.phases
    .filter(({ phase }) => !ofLoad.has(phase))
    .map((phase) => moment("controller", "ours", phase, words));
  for (const lane of step.lanes) {
    rows.push(...lane.phases.map((phase) => moment(`lane ${lane.lane}`, "load", phase, words)));
  }
  for (const told of step.provider) {
    const node = told.node && !told.message.includes(told.node) ? `${told.node}: ` : "";
    const late = lengthText((told.seen_unix_ns - told.date_unix_ns) / 1e6);
    const text = `${node}${told.message} (its own time; seen ${late} later)`;
    rows.push({ who: "provider", kind: "told", text, at: told.offset_ms, earliest: null, latest: null });
  }
  return rows;
}

function moment(who, kind, { phase, offset_ms: at, earliest_ms: earliest, latest_ms: latest }, words) {
  return { who, kind, text: words[phase] ?? phase, at, earliest: earliest ?? null, latest: latest ?? null };
}
