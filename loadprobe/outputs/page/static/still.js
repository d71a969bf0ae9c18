// The verdict in a line, and the film: for a picture, which nobody steers.

import { el } from "./dom.js";
import { filmSection } from "./film.js";

async function showStill() {
  const page = document.getElementById("page");
  const run = JSON.parse(document.getElementById("document").textContent);
  const { element, film } = filmSection(run);
  page.replaceChildren(el("h1", {}, run.summary.headline), el("p", { class: "note" }, `${run.run.name}: ${run.run.target}, ${run.run.started}, ${run.run.lasted}`), element);
  document.documentElement.dataset.still = "drawing";
  await film.load();
  film.paint();
  // How much of the window the picture needs.
  document.documentElement.dataset.height = Math.ceil(page.getBoundingClientRect().bottom + 1);
  document.documentElement.dataset.still = "drawn";
}

showStill();
