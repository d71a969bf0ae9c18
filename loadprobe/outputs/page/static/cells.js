// The cells of a film, and the worst of any stretch of them. Pure.
//
// A row holds its cells as columns by time. Over their states lies a pyramid: each level
// has the worst of FACTOR states below, so the worst of any stretch is found in a few
// steps, and none is ever dropped. What is no cell (seconds that were served, seconds
// with failures that have no cells, blind time) is spans.

export const BLANK = 0;
export const LIT = 1;
export const PLANNED = 2;
export const BLIND = 3;
export const GREY = 4;
export const DARK = 5;
export const STATE_WORDS = ["nothing due", "served", "dark by plan", "probe blind", "some failed", "dark"];

// Between two cells that are alike and no further apart, nothing was due: drawn pale.
const GAP_MS = 2_000;
const FACTOR = 16;
const WIDTHS = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array };

export async function inflate(base64) {
  const packed = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// Rows of a film: of each its names, cells and spans. Times are ms from the zero of the page.
export function makeRows(film, buffer) {
  const rows = film.rows.map((row) => new Row(row, film.blind[row.lane] ?? []));
  const columns = film.outcomes.length;
  let offset = 0;
  const parts = film.chunks.map(([row, first, count, ...widths]) => {
    const read = widths.map((width) => {
      const start = offset;
      offset += width * count;
      return width === 0 ? null : numbers(buffer, start, width, count);
    });
    return { row, first, count, steps: read[0], outcomes: read.slice(1) };
  });
  for (const part of parts) rows[part.row].size += part.count;
  for (const row of rows) row.makeRoom(columns);
  for (const part of parts) rows[part.row].take(part);
  for (const row of rows) row.finish();
  return rows;
}

export function nameOf({ lane, shard, op }) {
  return JSON.stringify([lane, shard, op]);
}

// Rows with the cells and spans of a later part of their film, in its order.
export function growRows(rows, film, buffer, blind) {
  const known = new Map(rows.map((row) => [nameOf(row), row]));
  for (const row of makeRows(film, buffer)) {
    const own = known.get(nameOf(row));
    if (own === undefined) known.set(nameOf(row), row);
    else own.absorb(row);
  }
  const order = new Map(film.rows.map((row, n) => [nameOf(row), n]));
  const place = (row) => order.get(nameOf(row)) ?? order.size;
  for (const row of known.values()) row.blind = blind[row.lane] ?? [];
  return [...known.values()].sort((a, b) => place(a) - place(b));
}

function numbers(buffer, start, width, count) {
  if (width === 8) {
    return Float64Array.from(new BigUint64Array(buffer.slice(start, start + 8 * count)), Number);
  }
  return new WIDTHS[width](buffer.slice(start, start + width * count));
}

export class Row {
  constructor({ lane, shard, op, served, failing, planned }, blind) {
    Object.assign(this, { lane, shard, op });
    [this.served, this.planned, this.blind] = [served, planned, blind].map(joined);
    const spans = failing.map(([start, length, dark]) => ({ span: [start, start + length], dark }));
    this.darkSeconds = joined(spans.filter(({ dark }) => dark > 0).map(({ span }) => span));
    this.greySeconds = joined(spans.filter(({ dark }) => dark === 0).map(({ span }) => span));
    this.size = 0;
    this.hasFailed = failing.length > 0;
  }

  makeRoom(columns) {
    this.at = new Float64Array(this.size);
    this.counts = Array.from({ length: columns }, () => null);
    this.filled = 0;
  }

  take({ first, count, steps, outcomes }) {
    let ms = first;
    for (let n = 0; n < count; n += 1) {
      if (steps !== null) ms += steps[n];
      this.at[this.filled + n] = ms;
    }
    outcomes.forEach((column, outcome) => {
      if (column === null) return;
      this.counts[outcome] ??= new Float64Array(this.size);
      this.counts[outcome].set(column, this.filled);
    });
    this.filled += count;
  }

  // Sort the cells, and build the pyramid over their states.
  finish() {
    this.sort();
    const states = new Uint8Array(this.size);
    for (let n = 0; n < this.size; n += 1) {
      const served = this.counts[0] !== null && this.counts[0][n] > 0;
      let failed = false;
      for (let o = 1; o < this.counts.length; o += 1) {
        if (this.counts[o] !== null && this.counts[o][n] > 0) failed = true;
      }
      const ms = this.at[n];
      const isPlanned = touches(this.planned, ms, ms + 1);
      if (failed) states[n] = served ? GREY : isPlanned ? PLANNED : DARK;
      else states[n] = served ? LIT : BLANK;
      if (failed) this.hasFailed = true;
    }
    this.levels = [states];
    let below = states;
    while (below.length > FACTOR) {
      const level = new Uint8Array(Math.ceil(below.length / FACTOR));
      for (let n = 0; n < below.length; n += 1) {
        const up = Math.floor(n / FACTOR);
        if (below[n] > level[up]) level[up] = below[n];
      }
      this.levels.push(level);
      below = level;
    }
  }

  // Add what a later part of the run has of the same row.
  absorb(later) {
    const { at, counts, size } = this;
    const isPlanned = JSON.stringify(this.planned) !== JSON.stringify(later.planned);
    for (const [from, to] of later.served) {
      const last = this.served.at(-1);
      if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
      else this.served.push([from, to]);
    }
    this.darkSeconds.push(...later.darkSeconds);
    this.greySeconds.push(...later.greySeconds);
    this.planned = later.planned;
    this.hasFailed ||= later.hasFailed;
    if (later.size === 0 && !isPlanned) return;
    this.size += later.size;
    this.makeRoom(counts.length);
    [{ at, counts, size }, later].forEach((part) => {
      this.at.set(part.at, this.filled);
      part.counts.forEach((column, outcome) => {
        if (column === null) return;
        this.counts[outcome] ??= new Float64Array(this.size);
        this.counts[outcome].set(column, this.filled);
      });
      this.filled += part.size;
    });
    this.finish();
  }

  sort() {
    let isSorted = true;
    for (let n = 1; n < this.size && isSorted; n += 1) isSorted = this.at[n - 1] <= this.at[n];
    if (isSorted) return;
    const order = Array.from(this.at.keys()).sort((a, b) => this.at[a] - this.at[b]);
    this.at = this.at.map((_, n) => this.at[order[n]]);
    this.counts = this.counts.map((column) => column?.map((_, n) => column[order[n]]) ?? null);
  }

  // The first cell that ends after a time.
  firstAfter(ms) {
    let [low, high] = [0, this.size];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.at[middle] + 1 > ms) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  // The worst state of [from, to) ms, and whether it is only what lies on both sides.
  worst(from, to) {
    const first = this.firstAfter(from);
    const last = this.lastBefore(first, to);
    let state = last > first ? this.worstCell(first, last) : BLANK;
    if (state < BLIND && touches(this.blind, from, to)) state = BLIND;
    if (state < DARK) state = Math.max(state, this.worstSecond(from, to));
    if (state !== BLANK) return { state, isPale: false };
    if (first > 0 && first < this.size && this.at[first] - this.at[first - 1] <= GAP_MS) {
      const before = this.levels[0][first - 1];
      return { state: before === this.levels[0][first] ? before : BLANK, isPale: true };
    }
    return { state: touches(this.served, from, to) ? LIT : BLANK, isPale: false };
  }

  // The cell after the last one that begins before a time.
  lastBefore(first, to) {
    let [low, high] = [first, this.size];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.at[middle] >= to) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  worstCell(first, last) {
    let worst = BLANK;
    let level = 0;
    while (first < last) {
      const states = this.levels[level];
      const isTop = level + 1 === this.levels.length;
      while (first < last && (isTop || first % FACTOR !== 0)) worst = Math.max(worst, states[first++]);
      while (first < last && last % FACTOR !== 0) worst = Math.max(worst, states[--last]);
      if (worst === DARK) return worst;
      first /= FACTOR;
      last /= FACTOR;
      level += 1;
    }
    return worst;
  }

  worstSecond(from, to) {
    if (touches(this.darkSeconds, from, to)) return DARK;
    return touches(this.greySeconds, from, to) ? GREY : BLANK;
  }

  // What there is in [from, to) ms: cells by state, arrivals by outcome.
  tally(from, to) {
    const cells = STATE_WORDS.map(() => 0);
    const arrivals = this.counts.map(() => 0);
    const first = this.firstAfter(from);
    const last = this.lastBefore(first, to);
    for (let n = first; n < last; n += 1) {
      cells[this.levels[0][n]] += 1;
      this.counts.forEach((column, o) => {
        if (column !== null) arrivals[o] += column[n];
      });
    }
    return { cells, arrivals };
  }
}

// Spans in any order as spans by time that do not meet: what is searched by halves.
function joined(spans) {
  const found = [];
  for (const [from, to] of spans.toSorted((a, b) => a[0] - b[0])) {
    const last = found.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else found.push([from, to]);
  }
  return found;
}

// Whether one of some spans, as joined above, has a part in [from, to).
export function touches(spans, from, to) {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle][1] > from) high = middle;
    else low = middle + 1;
  }
  return low < spans.length && spans[low][0] < to;
}
