// What servers tell of themselves, under what clients saw and over the same time.

import { chart } from "./charts.js";
import { el, note, table } from "./dom.js";
import { clockText, countText, fixed, lengthText } from "./words.js";

const SHARD_COLOURS = ["first", "second", "good", "planned", "grey", "third"];
const REPLICA_DASH = [5, 4];
const MOST_ROLES = 6;
const SERVER_CHARTS = [
  ["ops_per_s", "operations, of anybody", "per second", (value) => countText(Math.round(value)), () => true],
  ["cpu_percent", "CPU time", "% of a core", (value) => `${amountText(value)} %`, () => true],
  ["clients", "connections, of anybody", "most in a step", (value) => countText(Math.round(value)), () => true],
  ["memory_mb", "memory for data and buffers", "MB, most in a step", amountText, () => true],
  ["lag_kb", "replicas: what they have not received", "kB, most in a step", amountText, (values) => values.some((value) => value !== null)],
];

// Without digits that say nothing: "12.5", "10".
function amountText(value) {
  return String(Number(value.toFixed(2)));
}

// made: makes a figure of a chart, or does something else with it.
export function serverCharts(run, common, made = chart) {
  const nodes = run.servers?.nodes ?? [];
  if (nodes.length === 0) return [];
  const shards = [...new Set(nodes.map(({ shard }) => shard))];
  return SERVER_CHARTS.flatMap(([name, title, unit, text, isShown]) => {
    const series = nodes
      .filter((node) => isShown(node[name]))
      .map((node) => ({
        label: `${node.shard} ${node.node}`,
        values: node[name],
        colour: SHARD_COLOURS[shards.indexOf(node.shard) % SHARD_COLOURS.length],
        dash: isReplica(node) ? REPLICA_DASH : undefined,
      }));
    return series.length ? [made({ ...common, title: `Servers: ${title}`, unit, series, isLog: false, text })] : [];
  });
}

// What it is last.
function isReplica({ is_primary: roles }) {
  return roles.findLast((role) => role !== null) === 0;
}

export function serverTable(run) {
  const nodes = run.servers?.nodes ?? [];
  if (nodes.length === 0) return null;
  const most = (values) => values.reduce((known, value) => (value !== null && (known === null || value > known) ? value : known), null);
  const text = (value, digits, unit = "") => (value === null ? "-" : `${fixed(value, digits)}${unit}`);
  const columns = [["shard", "text"], ["server", "text"], ["was", "text"], ["operations/s, most", "number"], ["CPU, most", "number"], ["connections, most", "number"], ["memory, most", "number"], ["lag, most", "number"], ["without its primary", "number"]];
  const rows = nodes.map((node) => [
    node.shard,
    node.node,
    rolesText(run, node.is_primary),
    text(most(node.ops_per_s), 0),
    text(most(node.cpu_percent), 0, " %"),
    text(most(node.clients), 0),
    text(most(node.memory_mb), 1, " MB"),
    text(most(node.lag_kb), 1, " kB"),
    lengthText(node.unlinked_ms.reduce((sum, value) => sum + (value ?? 0), 0)),
  ]);
  const left = run.servers.left_out;
  return el(
    "div",
    {},
    table("Servers, as they tell of themselves once a second", columns, rows),
    note(`A colour is a shard; dashed: a replica now, or at the end. Gaps: the server did not answer, which is no verdict.${left ? ` ${countText(left)} more servers are in servers.ndjson.` : ""}`),
  );
}

// "primary; replica from 12:00:03", with the times in which it did not tell.
function rolesText(run, roles) {
  const words = (role) => (role === null ? "no answer" : role ? "primary" : "replica");
  const spans = [];
  roles.forEach((role, n) => {
    if (spans.length === 0 || spans.at(-1).role !== role) spans.push({ role, at: run.course.at[n] });
  });
  if (spans.length > 1 && spans[0].role === null) spans.shift();
  // The last seconds may not be told yet.
  if (spans.length > 1 && spans.at(-1).role === null) spans.pop();
  const shown = spans.slice(0, MOST_ROLES).map(({ role, at }, n) => (n === 0 ? words(role) : `${words(role)} from ${clockText(run.zero_unix_ns / 1e6 + at, 0)}`));
  if (spans.length > MOST_ROLES) shown.push(`${countText(spans.length - MOST_ROLES)} more changes`);
  return shown.join("; ");
}

// What CloudWatch tells of nodes, minute by minute.
export function metricCharts(run, common) {
  const { at, metrics } = run.cloudwatch;
  // A place without a value at either end: the same time across as above.
  const [first, last] = [run.course.at[0], run.course.at.at(-1)];
  const times = [Math.min(first, at[0] - 1), ...at, Math.max(last, at.at(-1) + 1)];
  return metrics.map(({ name, statistic, nodes }) => {
    const series = nodes.map(({ node, values }, n) => ({ label: node, values: [null, ...values, null], colour: SHARD_COLOURS[n % SHARD_COLOURS.length] }));
    return chart({ ...common, times, title: `CloudWatch: ${name}`, unit: `${statistic.toLowerCase()} of each minute`, series, isLog: false, text: (value) => countText(Math.round(value * 100) / 100) });
  });
}
