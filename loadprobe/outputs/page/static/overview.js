// The whole run in one line, with what is in view; a click moves the film there.

import { BLANK } from "./cells.js";
import { el } from "./dom.js";
import { NAMES } from "./picture.js";

const LINE_PX = 14;

export class Overview {
  // choose: called with the moment that was clicked, in ms.
  constructor(choose) {
    // The keys of the film do the same: this is for the pointer alone.
    this.canvas = el("canvas", { class: "overview", "aria-hidden": "true" });
    this.canvas.addEventListener("pointerdown", (event) => this.onPointer(event, choose));
    this.canvas.addEventListener("pointermove", (event) => event.buttons === 1 && this.onPointer(event, choose));
  }

  onPointer(event, choose) {
    const box = this.canvas.getBoundingClientRect();
    const { from, to } = this.limits;
    choose(from + ((event.clientX - box.left) / box.width) * (to - from));
  }

  draw({ rows, limits, view, width, colours }) {
    this.limits = limits;
    const ratio = window.devicePixelRatio || 1;
    const { canvas } = this;
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(LINE_PX * ratio)];
    [canvas.style.width, canvas.style.height] = [`${width}px`, `${LINE_PX}px`];
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = colours.faint;
    pen.fillRect(0, 0, width, LINE_PX);
    this.states(rows, width).forEach((state, x) => {
      if (state === BLANK) return;
      pen.fillStyle = colours[NAMES[state]];
      pen.fillRect(x, 3, 1, LINE_PX - 6);
    });
    const x = (ms) => ((ms - limits.from) / (limits.to - limits.from)) * width;
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 2;
    pen.strokeRect(x(view.from) + 1, 1, Math.max(3, x(view.to) - x(view.from) - 2), LINE_PX - 2);
  }

  // The worst of all rows for every pixel: looked for once, not at each move.
  states(rows, width) {
    if (this.known?.rows !== rows || this.known.width !== width) {
      const { from, to } = this.limits;
      const perPx = (to - from) / width;
      const states = Array.from({ length: width }, (_, x) =>
        rows.reduce((most, row) => Math.max(most, row.worst(from + x * perPx, from + (x + 1) * perPx).state), BLANK),
      );
      this.known = { rows, width, states };
    }
    return this.known.states;
  }
}
