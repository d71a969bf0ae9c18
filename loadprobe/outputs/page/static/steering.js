// Steering a film: wheel, keys and pointer, and what is told of the place under it.

import { el } from "./dom.js";

const NEAR_PX = 5;

export class Steering {
  // film: is shown, moved, zoomed and asked.
  constructor(film) {
    this.film = film;
    this.drag = null;
    const { canvas } = film;
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    canvas.addEventListener("pointerdown", (event) => this.onDown(event));
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    canvas.addEventListener("pointerup", (event) => this.onUp(event));
    canvas.addEventListener("pointercancel", () => this.endDrag());
    canvas.addEventListener("pointerleave", () => (film.tip.hidden = true));
    canvas.addEventListener("dblclick", () => film.show(film.limits));
  }

  onWheel(event) {
    const { film } = this;
    const isSideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (isSideways) {
      event.preventDefault();
      film.move(event.deltaX / 1000);
    } else if (event.ctrlKey || document.activeElement === film.canvas) {
      event.preventDefault();
      film.zoom(2 ** (Math.max(-200, Math.min(200, event.deltaY)) / 200), film.at(event).ms);
    }
  }

  onKey(event) {
    const { film } = this;
    const acts = {
      "+": () => film.zoom(0.5),
      "=": () => film.zoom(0.5),
      "-": () => film.zoom(2),
      ArrowLeft: () => film.move(-0.2),
      ArrowRight: () => film.move(0.2),
      0: () => film.show(film.limits),
      Home: () => film.show(film.limits),
      n: () => film.jump(1),
      p: () => film.jump(-1),
      ArrowUp: () => film.select(-1),
      ArrowDown: () => film.select(1),
      Escape: () => film.canvas.blur(),
    };
    const act = acts[event.key];
    if (act === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
    film.read();
  }

  onMove(event) {
    const { film } = this;
    const { tip, canvas } = film;
    const place = film.at(event);
    if (this.drag) this.onDrag(place);
    const reach = NEAR_PX * place.perPx;
    const lines =
      place.row === null
        ? film.aboutMarkers(place.ms - reach, place.ms + reach)
        : film.about(place.row, place.ms - place.perPx / 2, place.ms + place.perPx / 2);
    tip.hidden = lines.length === 0;
    tip.replaceChildren(...lines.map((line) => el("div", {}, line)));
    const isRight = place.x > canvas.clientWidth / 2;
    tip.style.left = isRight ? "auto" : `${place.x + 14}px`;
    tip.style.right = isRight ? `${canvas.clientWidth - place.x + 14}px` : "auto";
    tip.style.top = `${place.y + 12}px`;
  }

  onDown(event) {
    if (event.button !== 0) return;
    const place = this.film.at(event);
    this.film.canvas.setPointerCapture(event.pointerId);
    this.drag = { start: place, view: { ...this.film.view }, isMove: event.shiftKey };
  }

  onDrag(place) {
    const { film } = this;
    const { start, view, isMove } = this.drag;
    if (isMove) {
      const by = (start.x - place.x) * place.perPx;
      film.show({ from: view.from + by, to: view.to + by });
      return;
    }
    film.selection.hidden = Math.abs(place.x - start.x) < NEAR_PX;
    film.selection.style.left = `${Math.min(place.x, start.x)}px`;
    film.selection.style.width = `${Math.abs(place.x - start.x)}px`;
  }

  onUp(event) {
    if (!this.drag) return;
    const { start, isMove } = this.drag;
    const place = this.film.at(event);
    this.endDrag();
    if (isMove || Math.abs(place.x - start.x) < NEAR_PX) return;
    this.film.show({ from: Math.min(start.ms, place.ms), to: Math.max(start.ms, place.ms) });
  }

  endDrag() {
    this.drag = null;
    this.film.selection.hidden = true;
  }
}
