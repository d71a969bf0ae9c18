// Elements. What comes from a run is only ever set as text.

// Characters that let a text be read in another order than it has.
const DIRECTIONS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

export function shown(value) {
  return String(value).replace(
    DIRECTIONS,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

// An element: attributes, then children (elements, or anything else as text).
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    element.setAttribute(name, shown(value === true ? "" : value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined) continue;
    element.append(child instanceof Node ? child : shown(child));
  }
  return element;
}

export function section(id, title, ...children) {
  const heading = el("h2", { id: `${id}-title` }, title);
  return el("section", { id, "aria-labelledby": `${id}-title` }, heading, ...children);
}

// A table that scrolls by itself where it is wider than its place.
// columns: [title, kind] with kind "text" or "number"; rows: lists of cells.
export function table(caption, columns, rows) {
  const head = columns.map(([title, kind]) => el("th", { scope: "col", class: kind }, title));
  const body = rows.map((row) =>
    el(
      "tr",
      {},
      row.map((cell, n) =>
        el(n === 0 ? "th" : "td", { class: columns[n][1], scope: n === 0 ? "row" : null }, cell),
      ),
    ),
  );
  return el(
    "div",
    { class: "wide", tabindex: "0", role: "region", "aria-label": caption },
    el(
      "table",
      {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, head)),
      el("tbody", {}, body),
    ),
  );
}

export function list(items) {
  return el("ul", {}, items.map((item) => el("li", {}, item)));
}

export function note(text) {
  return el("p", { class: "note" }, text);
}
