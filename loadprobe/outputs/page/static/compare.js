// Shows the comparison that is in the page.

import { el, list, note, section, table } from "./dom.js";
import { Overlay } from "./overlay.js";
import { strips } from "./strips.js";

const COMPARISON_VERSION = 1;

function answers({ title, groups, level, figures, missing }) {
  const open = figures.filter((figure) => figure.is_open);
  const counts = groups.map(({ label, runs }) => `${label}: ${runs} ${runs === 1 ? "run" : "runs"}`).join(" · ");
  const baseline = groups.length > 1 ? `Every group beside ${groups[0].label}. ` : "";
  return el(
    "header",
    { "aria-label": "What differs" },
    el("p", { class: "what-run" }, counts),
    el("h1", {}, title),
    groups.length < 2 ? el("p", {}, "There is one group only: nothing to compare it with.") : null,
    el("dl", { class: "answers" }, open.filter(({ sentences }) => sentences.length > 0).flatMap(answer)),
    note(
      `${baseline}A difference is shown if it would come about by chance in at most ${Math.round(100 * level)} % of all comparisons of its kind without one; ` +
        `that none is shown does not mean that there is none. In [ ] is how small and how large it may be, ${Math.round(100 * (1 - level))} % sure or more.`,
    ),
    missing.length ? el("aside", { class: "missing", "aria-label": "What is missing" }, el("b", {}, "Not all is here:"), list(missing)) : null,
  );
}

function answer({ title, sentences }) {
  return [
    el("dt", {}, title),
    sentences.map(({ answer: what, text }) => el("dd", { class: what === "more" || what === "less" ? "shown" : "none" }, text)),
  ].flat();
}

function obstacles(document) {
  if (document.obstacles.length === 0) return null;
  return section("obstacles", "Not like with like", el("div", { class: "missing" }, list(document.obstacles)));
}

function figuresSection({ figures }) {
  const made = section(
    "figures",
    "Every run is a point",
    note("Thin: where a run's value may lie. The band holds the true median as often as said behind it (sure); the line in it is the median of the runs."),
  );
  for (const figure of figures.filter(({ is_open: isOpen }) => isOpen)) made.append(el("div", { class: "figure" }, el("h3", {}, figure.title), strips(figure)));
  const folded = figures.filter(({ is_open: isOpen }) => !isOpen);
  if (folded.length === 0) return made;
  const others = folded.map((figure) =>
    el("details", { class: "figure" }, el("summary", {}, figure.title), strips(figure), list(figure.sentences.map(({ text }) => text))),
  );
  made.append(el("h3", {}, "Other figures"), ...others);
  return made;
}

function steadySection({ steady: { title, columns, rows, note: text } }) {
  if (rows.length === 0) return null;
  const kinds = columns.map((column, n) => [column, n < 2 ? "text" : "number"]);
  return section("steady", "Steady lanes", table(title, kinds, rows), note(text));
}

function showComparison() {
  const page = document.getElementById("page");
  const compared = JSON.parse(document.getElementById("document").textContent);
  if (compared.comparison_version !== COMPARISON_VERSION) {
    page.replaceChildren(el("p", {}, `This is a comparison of version ${compared.comparison_version}; version ${COMPARISON_VERSION} can be shown.`));
    return;
  }
  const parts = [answers(compared), obstacles(compared), figuresSection(compared), steadySection(compared)];
  page.replaceChildren(...parts.filter((part) => part !== null));
  const { dataset } = document.documentElement;
  dataset.state = "shown";
  if (compared.overlaid.every(({ runs }) => runs.length === 0)) {
    dataset.film = "shown";
    return;
  }
  const overlay = new Overlay(compared.overlaid);
  page.append(overlay.element);
  overlay.load().then(
    () => (dataset.film = "shown"),
    (error) => {
      overlay.element.append(el("p", { class: "missing" }, "The runs cannot be drawn: this browser is too old, or the page is damaged."));
      throw error;
    },
  );
}

showComparison();
