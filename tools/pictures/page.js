// Draws panels that were asked for beforehand, in the manner of Grafana.
"use strict";
const ROW_PX = 34, COL = 100 / 24;
const NAMED = {
  green: "#56a64b", yellow: "#f2cc0c", orange: "#ff780a", red: "#e02f44", purple: "#a352cc",
  blue: "#3274d9", "dark-red": "#ad0317", "dark-blue": "#1250b0",
};
const PALETTE = [
  "#3274d9", "#e0752d", "#56a64b", "#a352cc", "#c7a200", "#37a2b4", "#bf1b5c", "#7a6a53",
  "#8ab8ff", "#ffb357", "#96d98d", "#ca95e5", "#5b6b7b",
];
const color = (name) => NAMED[name] || name;
const trim = (v, n = 3) => String(Number(v.toPrecision(n)));

function text(value, unit, decimals) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  const v = Number(value), a = Math.abs(v), d = decimals;
  const fix = (x, n) => (d === undefined || d === null ? trim(x, n) : x.toFixed(d));
  if (unit === "s") {
    if (a === 0) return "0 s";
    if (a < 1e-3) return trim(v * 1e6) + " µs";
    if (a < 1) return trim(v * 1e3) + " ms";
    if (a < 120) return fix(v, 4) + " s";
    if (a < 7200) return trim(v / 60, 3) + " min";
    if (a < 172800) return trim(v / 3600, 3) + " hours";
    return a < 1209600 ? trim(v / 86400, 3) + " days" : trim(v / 604800, 3) + " weeks";
  }
  if (unit === "percentunit") return fix(v * 100, 5) + " %";
  if (unit === "dateTimeAsIso") return new Date(v).toISOString().replace("T", " ").slice(0, 23);
  const suffix = unit === "ops" ? " /s" : "";
  if (a >= 1e6) return trim(v / 1e6) + " M" + suffix;
  if (a >= 1e4) return trim(v / 1e3) + " k" + suffix;
  return trim(v, 5) + suffix;
}

function stepped(steps, value) {
  let found = steps[0].color;
  for (const s of steps) if (s.value !== null && value >= s.value) found = s.color;
  return color(found);
}

function make(tag, parent, cls, content) {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  if (content !== undefined) e.textContent = content;
  parent.appendChild(e);
  return e;
}

function clock(seconds, step) {
  const iso = new Date(seconds * 1000).toISOString();
  return step < 1 ? iso.slice(14, 23) : iso.slice(11, 19);
}

function stat(box, p) {
  const s = p.settings;
  for (const one of p.series) {
    const v = Number(one.points[one.points.length - 1][1]);
    const tile = make("div", box, "tile");
    tile.style.background = stepped(s.thresholds.steps, v);
    if (p.series.length > 1) make("span", tile, "tilename", one.name);
    make("span", tile, "tilevalue", text(v, s.unit, s.decimals));
  }
}

function table(box, p) {
  const t = make("table", box);
  const head = make("tr", t);
  p.columns.forEach((c) => make("th", head, "", c.title));
  for (const row of p.rows) {
    const tr = make("tr", t);
    for (const c of p.columns) {
      const v = row[c.title], number = typeof v === "number";
      const td = make("td", tr, number ? "number" : "", number ? text(v, c.settings.unit) : v);
      if (number && c.settings.thresholds) td.style.color = stepped(c.settings.thresholds.steps, v);
    }
  }
  if (!p.rows.length) make("div", box, "empty", "Nothing");
}

function mapped(mappings, value) {
  for (const m of mappings) {
    if (m.type === "value" && m.options[String(value)]) return m.options[String(value)];
    if (m.type === "range" && value >= m.options.from && value <= m.options.to) return m.options.result;
  }
  return null;
}

function canvas(box, w, h) {
  const c = make("canvas", box);
  c.width = w * 2; c.height = h * 2;
  c.style.width = w + "px"; c.style.height = h + "px";
  const g = c.getContext("2d");
  g.scale(2, 2);
  g.font = "11px DejaVu Sans, sans-serif";
  return g;
}

function axis(g, p, left, right, bottom) {
  const span = p.to - p.from;
  const every = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600]
    .find((s) => span / s <= (right - left) / 95) || 7200;
  g.fillStyle = "#555"; g.strokeStyle = "#e4e4e4"; g.textAlign = "center";
  for (let t = Math.ceil(p.from / every) * every; t <= p.to; t += every) {
    const x = left + ((t - p.from) / span) * (right - left);
    g.beginPath(); g.moveTo(x, 0); g.lineTo(x, bottom); g.stroke();
    g.fillText(clock(t, every), Math.max(left + 28, Math.min(right - 28, x)), bottom + 14);
  }
}

function verticals(g, p, left, right, bottom) {
  for (const m of p.marks) {
    const x = left + ((m.at - p.from) / (p.to - p.from)) * (right - left);
    g.strokeStyle = color(m.color); g.setLineDash([3, 3]); g.lineWidth = 1;
    g.beginPath(); g.moveTo(x, 0); g.lineTo(x, bottom); g.stroke(); g.setLineDash([]);
    g.fillStyle = color(m.color);
    g.beginPath(); g.moveTo(x - 4, bottom + 5); g.lineTo(x + 4, bottom + 5); g.lineTo(x, bottom); g.fill();
  }
}

function timeline(box, p, w, h) {
  const legend = new Map();
  const left = Math.min(190, 14 + 7 * Math.max(...p.series.map((s) => s.name.length), 4));
  const bottom = h - 40, g = canvas(box, w, h - 20), right = w - 6;
  axis(g, p, left, right, bottom);
  const each = bottom / Math.max(1, p.series.length);
  const x = (t) => left + ((t - p.from) / (p.to - p.from)) * (right - left);
  p.series.forEach((one, i) => {
    g.fillStyle = "#333"; g.textAlign = "right";
    g.fillText(one.name, left - 6, each * (i + 0.5) + 4);
    for (const [t, raw] of one.points) {
      const state = mapped(p.settings.mappings, Number(raw));
      if (!state) continue;
      legend.set(state.index, state);
      g.fillStyle = color(state.color);
      const from = x(t), to = Math.min(right, x(t + p.step));
      g.fillRect(from, each * i + each * 0.1, Math.max(to - from, 0.5) + 0.3, each * 0.8);
    }
  });
  verticals(g, p, left, right, bottom);
  const line = make("div", box, "legend");
  for (const m of p.settings.mappings)
    for (const s of m.type === "value" ? Object.values(m.options) : [m.options.result])
      if (legend.has(s.index)) key(line, s.text, color(s.color));
  if (!p.series.length) make("div", box, "empty", "No data");
}

function key(line, name, c) {
  const e = make("span", line, "key", name);
  make("i", e).style.background = c;
  e.insertBefore(e.lastChild, e.firstChild);
}

function heat(box, p, w, h) {
  const le = (s) => (s.labels.le === "+Inf" ? Infinity : Number(s.labels.le));
  const all = [...p.series].sort((a, b) => le(a) - le(b));
  const cells = [];
  let most = 0;
  all.forEach((one, i) => {
    const below = i ? new Map(all[i - 1].points.map(([t, v]) => [t, Number(v)])) : new Map();
    for (const [t, v] of one.points) {
      const n = Number(v) - (below.get(t) || 0);
      if (n > 0) { cells.push([t, i, n]); most = Math.max(most, n); }
    }
  });
  const used = cells.map((c) => c[1]), low = Math.min(...used), high = Math.max(...used) + 1;
  const g = canvas(box, w, h), left = 62, right = w - 6, bottom = h - 22;
  axis(g, p, left, right, bottom);
  const y = (i) => bottom - ((i - low) / (high - low)) * bottom;
  for (const [t, i, n] of cells) {
    const x = left + ((t - p.from) / (p.to - p.from)) * (right - left);
    const width = (p.step / (p.to - p.from)) * (right - left);
    const share = Math.pow(n / most, 0.4);
    g.fillStyle = `hsl(${42 - 34 * share}, 95%, ${88 - 50 * share}%)`;
    g.fillRect(x - width, y(i + 1), width + 0.4, y(i) - y(i + 1) + 0.4);
  }
  g.fillStyle = "#555"; g.textAlign = "right";
  for (let i = low; i <= high; i += Math.ceil((high - low) / 9))
    g.fillText(text(i ? le(all[i - 1]) : 0, "s"), left - 5, Math.max(9, y(i) + 4));
  verticals(g, p, left, right, bottom);
}

function graph(box, p, w, h) {
  const s = p.settings, custom = s.custom || {};
  if (!p.series.length) { make("div", box, "empty", s.noValue || "No data"); return; }
  const stacked = custom.drawStyle === "bars";
  const log = (custom.scaleDistribution || {}).type === "log";
  const times = [...new Set(p.series.flatMap((o) => o.points.map((q) => q[0])))].sort((a, b) => a - b);
  const at = new Map(times.map((t, i) => [t, i]));
  const rows = p.series.map((o) => {
    const v = new Array(times.length).fill(null);
    for (const [t, raw] of o.points) { const n = Number(raw); v[at.get(t)] = Number.isFinite(n) && !(log && n <= 0) ? n : null; }
    return v;
  });
  const exact = rows.map((r) => r.slice());
  if (stacked) for (let i = 1; i < rows.length; i++)
    rows[i] = rows[i].map((v, k) => (v === null && rows[i - 1][k] === null ? null : (v || 0) + (rows[i - 1][k] || 0)));
  const order = rows.map((_, i) => i);
  if (stacked) order.reverse();
  const hue = (i) => {
    const name = p.series[i].name;
    if (name.startsWith("served")) return NAMED.green;
    return PALETTE[i % PALETTE.length];
  };
  const bars = (u, i, i0, i1) => {
    const path = new Path2D(), zero = u.valToPos(0, "y", true);
    const wide = Math.max(1.5, (p.step / (p.to - p.from)) * u.bbox.width * 0.92);
    for (let k = i0; k <= i1; k++) {
      const v = u.data[i][k];
      if (v === null || v === undefined) continue;
      const top = u.valToPos(v, "y", true);
      path.rect(u.valToPos(u.data[0][k], "x", true) - wide / 2, top, wide, zero - top);
    }
    return { fill: path, stroke: null };
  };
  const plot = new uPlot({
    width: w, height: h - 26, legend: { show: false }, cursor: { show: false }, pxAlign: 0,
    tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
    scales: {
      x: { time: true, range: () => [p.from, p.to] },
      y: log ? { distr: 3 } : { range: (u, lo, hi) => [Math.min(0, lo || 0), (hi || 1) * 1.06] },
    },
    axes: [
      { font: "11px DejaVu Sans", stroke: "#555", grid: { stroke: "#e8e8e8", width: 1 }, space: 90,
        values: (u, splits) => { const d = splits.length > 1 ? splits[1] - splits[0] : 1; return splits.map((t) => clock(t, d)); } },
      { font: "11px DejaVu Sans", stroke: "#555", size: 62, grid: { stroke: "#e8e8e8", width: 1 },
        values: (u, splits) => splits.map((v) => (v === null || (log && !/^[125]/.test(v.toExponential())) ? "" : text(v, s.unit))) },
    ],
    series: [{}, ...order.map((i) => stacked
      ? { paths: bars, fill: hue(i), points: { show: false } }
      : { stroke: hue(i), width: 1.4, points: { show: rows[i].filter((v) => v !== null).length < 3 } })],
    hooks: { draw: [(u) => {
      const g = u.ctx, b = u.bbox, r = devicePixelRatio;
      g.save(); g.translate(b.left, b.top); g.scale(r, r);
      verticals(g, p, 0, b.width / r, b.height / r);
      g.restore();
    }] },
  }, [times, ...order.map((i) => rows[i])], box);
  const line = make("div", box, "legend");
  p.series.forEach((o, i) => key(line, o.name || s.displayName || "value", hue(i)));
  return [plot, exact];
}

function draw(panels) {
  const board = document.getElementById("board");
  const first = Math.min(...panels.map((p) => p.grid.y));
  let height = 0;
  for (const p of panels) {
    const box = make("div", board, p.type === "row" ? "row" : "panel");
    const px = p.grid.h * ROW_PX - 6;
    Object.assign(box.style, {
      left: p.grid.x * COL + "%", top: (p.grid.y - first) * ROW_PX + "px",
      width: `calc(${p.grid.w * COL}% - 6px)`, height: px + "px",
    });
    height = Math.max(height, (p.grid.y - first + p.grid.h) * ROW_PX);
    make("div", box, "title", p.title);
    if (p.type === "row") continue;
    const body = make("div", box, "body " + p.type);
    const w = box.clientWidth - 14, h = px - 32;
    ({ stat, table, "state-timeline": timeline, heatmap: heat, timeseries: graph })[p.type](body, p, w, h);
  }
  board.style.height = height + "px";
}
