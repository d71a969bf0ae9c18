// A run that goes on: what is new is added to what is known. Pure.

const MOST_SERVERS = 30;

// Adds a later part to a run, in place: what can have changed is whole in it, while
// seconds, blind spans and events are only the new ones. Cells are added by the film.
export function grow(run, part) {
  const before = run.course.at.length;
  for (const name of ["state", "length_ms", "outages_left_out", "now"]) run[name] = part[name];
  // Long lists are left out if they are as they were.
  run.outages = part.outages ?? run.outages;
  run.summary = { ...part.summary, incidents: part.summary.incidents ?? run.summary.incidents };
  Object.assign(run.calls, part.calls);
  run.run.lasted = part.lasted;
  run.run.problems = part.problems;
  run.events.push(...part.events);
  run.events_left_out += part.events_left_out;
  for (const [lane, spans] of Object.entries(part.film.blind)) {
    run.film.blind[lane] ??= [];
    spans.forEach((span) => joinSpan(run.film.blind[lane], span));
  }
  const { course } = run;
  course.at.push(...part.course.at);
  course.seconds.push(...part.course.seconds);
  const same = (own) => (each) => each.lane === own.lane && each.kind === own.kind;
  growColumns(course.counts, part.course.counts, same, before, course.at.length, 0);
  growColumns(course.latencies, part.course.latencies, same, before, course.at.length, null);
  growServers(run.servers, part.servers, course.at);
  for (const { lane, columns } of part.course.heat.lanes) {
    let own = course.heat.lanes.find((each) => each.lane === lane);
    if (own === undefined) course.heat.lanes.push((own = { lane, columns: [] }));
    own.columns.push(...columns.map((column) => ({ ...column, at: column.at + before })));
  }
}

// What servers told goes to its second: it may be told late.
function growServers(servers, told, at) {
  for (const row of told) {
    let own = servers.nodes.find((each) => each.node === row.node);
    if (own === undefined) {
      if (servers.nodes.length >= MOST_SERVERS) continue;
      own = Object.fromEntries(Object.keys(row).filter((key) => key !== "at").map((key) => [key, []]));
      [own.node, own.shard] = [row.node, row.shard];
      servers.nodes.push(own);
      servers.nodes.sort((a, b) => (`${a.shard} ${a.node}` < `${b.shard} ${b.node}` ? -1 : 1));
    }
    const step = Math.round((row.at - at[0]) / 1000);
    own.shard = row.shard;
    for (const [key, column] of Object.entries(own)) if (Array.isArray(column) && step >= 0) column[step] = row[key];
  }
  for (const own of servers.nodes) {
    for (const column of Object.values(own)) {
      if (Array.isArray(column)) for (let n = 0; n < at.length; n += 1) column[n] ??= null;
    }
  }
}

// Columns by time: whoever was not there, or is not any more, has empty places.
function growColumns(rows, added, same, before, length, empty) {
  for (const row of added) {
    let own = rows.find(same(row));
    if (own === undefined) {
      own = Object.fromEntries(Object.entries(row).map(([name, value]) => [name, Array.isArray(value) ? Array(before).fill(empty) : value]));
      rows.push(own);
    }
    for (const [name, value] of Object.entries(row)) if (Array.isArray(value)) own[name].push(...value);
  }
  for (const row of rows) {
    for (const value of Object.values(row)) {
      if (Array.isArray(value)) while (value.length < length) value.push(empty);
    }
  }
}

// A span that begins where the last one ends makes it longer.
export function joinSpan(spans, [from, to]) {
  const last = spans.at(-1);
  if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
  else spans.push([from, to]);
}
