// Small signs of a call: how good a line is, who speaks. Each has bars, a shape or words, never a colour alone.

import { announce, h, replace } from "./dom.js";
import { icon } from "./icons.js";
import { call as text } from "./strings/call.en.js";

/** @typedef {import("./line.js").Line} Line */

const SVG = "http://www.w3.org/2000/svg";
const HEIGHTS = [5, 9, 13, 17];
/** @type {Record<string, number>} how many of the four bars are full */
const FULL = { good: 4, fair: 3, reduced: 3, poor: 2, audio_only: 1 };

/** Four bars; decorative, the words stand beside them. @param {string} quality */
export function lineBars(quality) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon bars");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.dataset.full = String(FULL[quality] ?? 0);
  HEIGHTS.forEach((height, i) => {
    const bar = document.createElementNS(SVG, "path");
    bar.setAttribute("d", `M${3.5 + i * 5.6} 20.500v-${height}`);
    if (i >= (FULL[quality] ?? 0)) bar.setAttribute("class", "bars__empty");
    svg.append(bar);
  });
  return svg;
}

/** Beside the name of who speaks; its style shows it only then. */
export function speakingSign() {
  return h("span", { class: "speaking-sign" }, icon("sound", { label: text.speaking }));
}

/** How our own line is, in the page's top. */
export class LineView {
  /** @param {HTMLElement} element keeps its place while nothing is known */
  constructor(element) {
    this.element = element;
    this._words = "";
  }

  /** @param {Line|null} line */
  set(line) {
    const words = line ? text.line[line.state][line.side] : "";
    if (words === this._words) return;
    // That a call begins well need not be said; that it is well again, must.
    if (line && (line.state !== "good" || this._words !== "")) announce(words);
    this._words = words;
    this.element.dataset.quality = line?.state ?? "";
    replace(this.element, line && lineBars(line.state), h("span", null, words));
  }
}
