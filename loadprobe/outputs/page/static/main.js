// Shows the document that is in the page.

import { el, section } from "./dom.js";
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
const PARTS = [
  ["Incidents", incidentsSection],
  ["Scenario", stepsSection],
  ["Over time", timeSection],
  ["Whose fault", causeSection],
  ["Thresholds, budget and connections", checksSection],
  ["What the probe could not see", observerSection],
  ["Events", eventsSection],
  ["How it was run", setupSection],
];

// A part of the page; one that cannot be made of what is there takes no other with it.
function part(title, make) {
  try {
    return make();
  } catch (error) {
    const id = `lost-${PARTS.findIndex(([name]) => name === title)}`;
    return section(id, title, el("p", { class: "missing" }, `This part cannot be shown: ${error.message}. The run folder may be damaged.`));
  }
}

export function showRun(run, page) {
  const { element, film } = filmSection(run);
  page.replaceChildren(verdictSection(run), element);
  const rest = () => {
    page.append(...PARTS.map(([title, make]) => part(title, () => make(run, film))).filter((made) => made !== null));
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
