// Numbers, lengths and times in words. Pure.

const COUNT = new Intl.NumberFormat("en-US");

export function countText(value) {
  return value === null || value === undefined ? "not checked" : COUNT.format(value);
}

// A length: "0.41 ms", "2,104 ms", "12.3 s", "10 min 02 s", "1 h 05 min".
export function lengthText(ms) {
  if (ms === null || ms === undefined) return "-";
  const size = Math.abs(ms);
  if (size < 10) return `${trimmed(ms, 2)} ms`;
  if (size < 100) return `${trimmed(ms, 1)} ms`;
  if (size < 10_000) return `${COUNT.format(Math.round(ms))} ms`;
  const s = Math.round(size / 1000);
  if (s < 60) return `${(ms / 1000).toFixed(1)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${padded(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${padded(Math.floor((s % 3600) / 60))} min`;
}

// With its error bars, in one unit: "2,104 ms [2,101, 2,107]".
export function boundsText(bounds) {
  if (!bounds || bounds.upper === 0) return "0 ms";
  const digits = bounds.upper < 100 ? 1 : 0;
  const [estimate, lower, upper] = [bounds.estimate, bounds.lower, bounds.upper].map(
    (ms) => fixed(ms, digits),
  );
  const unseen = bounds.unseen ? `, ${fixed(bounds.unseen, digits)} ms unseen` : "";
  return `${estimate} ms [${lower}, ${upper}]${unseen}`;
}

export function offsetText(ms) {
  const sign = ms < 0 ? "-" : "+";
  return sign + lengthText(Math.abs(ms));
}

export function fixed(value, digits) {
  return value.toLocaleString("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

// A share in percent, cut off and not rounded: 100 means that not one failed.
export function percentText(share) {
  if (share === null || share === undefined) return "-";
  return `${(Math.floor(share * 1e6) / 1e4).toFixed(4)} %`;
}

// The time of day in UTC, with so many digits after the second.
export function clockText(unixMs, digits = 3) {
  const text = isoText(unixMs);
  const end = digits === 0 ? 19 : 20 + digits;
  return text.slice(11, end);
}

export function dateText(unixMs) {
  return `${isoText(unixMs).slice(0, 10)} ${clockText(unixMs)} UTC`;
}

// As in ISO 8601; of a time that no calendar has, signs that say so.
function isoText(unixMs) {
  const at = new Date(unixMs);
  return Number.isFinite(at.getTime()) ? at.toISOString() : "????-??-??T??:??:??.???Z";
}

function trimmed(value, digits) {
  return String(Number(value.toFixed(digits)));
}

function padded(value) {
  return String(value).padStart(2, "0");
}
