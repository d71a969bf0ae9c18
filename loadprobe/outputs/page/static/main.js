// Shows the document that is in the page.

import { el } from "./dom.js";
import { filmSection } from "./film.js";
import {
  causeSection,
  checksSection,
  eventsSection,
  incidentsSection,
  observerSection,
  setupSection,
  stepsSection,
  timeSection,
} from "./sections.js";
import { verdictSection } from "./verdict.js";

const VERSION = 1;

export function showRun(run, page) {
  const { element, film } = filmSection(run);
  page.replaceChildren(verdictSection(run), element);
  const rest = () => {
    const parts = [
      incidentsSection(run, film),
      stepsSection(run),
      timeSection(run),
      causeSection(run, film),
      checksSection(run),
      observerSection(run),
      eventsSection(run, film),
      setupSection(run),
    ];
    page.append(...parts.filter((part) => part !== null));
    document.documentElement.dataset.state = "shown";
  };
  // The verdict and the film come first: what is below them is not in view.
  requestAnimationFrame(() => setTimeout(rest));
  film.load().then(
    () => (document.documentElement.dataset.film = "shown"),
    (error) => {
      film.reading.textContent = "The film cannot be shown: this browser is too old, or the page is damaged.";
      throw error;
    },
  );
}

function main() {
  const page = document.getElementById("page");
  const run = JSON.parse(document.getElementById("document").textContent);
  if (run.page_version !== VERSION) {
    page.replaceChildren(el("p", {}, `This is a document of version ${run.page_version}; version ${VERSION} can be shown.`));
    return;
  }
  showRun(run, page);
}

main();
