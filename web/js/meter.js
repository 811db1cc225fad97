// The payer's clock as a ring. The server decides; this only counts down what it said, on the page's monotonic clock.

import { h, meterRing, announce } from "./dom.js";
import { formatClock, formatLength, formatUsed } from "./format.js";
import { remainingMs, usedMs } from "./protocol.js";
import { call as text } from "./strings/call.en.js";

/** @typedef {import("./protocol.js").MeterInfo} MeterInfo */
/** @typedef {"calm"|"warning"|"urgent"|"paused"} Level */

export const WARNING_MS = 5 * 60_000;
export const URGENT_MS = 60_000;

/** @param {MeterInfo} meter @param {number|null} leftMs @returns {Level} */
export function levelOf(meter, leftMs) {
  if (meter.state === "waiting" || meter.state === "paused") return "paused";
  if (leftMs === null) return "calm";
  if (leftMs <= URGENT_MS) return "urgent";
  return leftMs <= WARNING_MS ? "warning" : "calm";
}

export class MeterView {
  /** @param {{onAddTime: () => void, costOf?: ((usedMs: number) => string)|null, lastMinute?: string, now?: () => number}} options `costOf`: where use is paid for, the price of it */
  constructor({ onAddTime, costOf = null, lastMinute = text.use.lastMinute, now = () => performance.now() }) {
    this._costOf = costOf;
    this._lastMinute = lastMinute;
    /** Where use is paid for: will no further hold follow? */
    this.endsHere = true;
    this._now = now;
    /** @type {MeterInfo|null} */
    this._meter = null;
    this._receivedMs = 0;
    this._wholeMs = 0;
    /** @type {Level|""} */
    this._spoken = "";
    this.ring = meterRing();
    this.caption = h("p", { class: "meter__caption" });
    this.addTime = h("button", { type: "button", class: "button button--small meter__add", on: { click: onAddTime }, hidden: true }, costOf ? text.use.open : text.meter.addTime);
    this.element = h("div", { class: "meter", dataset: { meterState: "waiting" } }, this.ring.element, this.caption, this.addTime);
    this._draw();
    setInterval(() => this._draw(), 250);
  }

  /** @param {MeterInfo} meter */
  set(meter) {
    this._meter = meter;
    this._receivedMs = this._now();
    // Added time fills the ring again.
    this._wholeMs = Math.max(this._wholeMs, this.leftMs ?? 0);
    document.body.dataset.meterState = meter.state;
    document.body.dataset.meterReason = meter.reason ?? "";
    this._draw();
  }

  /** What was bought in all, for who comes back to the rest of it. @param {number|null|undefined} boughtMs */
  setWhole(boughtMs) {
    this._wholeMs = Math.max(this._wholeMs, boughtMs ?? 0);
    this._draw();
  }

  get state() {
    return this._meter?.state ?? "waiting";
  }

  get reason() {
    return this._meter?.reason ?? "";
  }

  /** @returns {number|null} null: no limit, or nothing known */
  get leftMs() {
    return this._meter ? remainingMs(this._meter, this._receivedMs, this._now()) : null;
  }

  /** @returns {number} of the pass, as of now */
  get usedMs() {
    return this._meter ? usedMs(this._meter, this.leftMs) : 0;
  }

  get limited() {
    return this._meter !== null && this._meter.remaining_ms !== null && this._meter.remaining_ms !== undefined;
  }

  _draw() {
    if (this._costOf && this._meter) return this._drawUse(this._costOf(this.usedMs));
    const left = this.leftMs;
    const level = this._meter ? levelOf(this._meter, left) : "paused";
    const clock = left === null ? (this._meter ? text.meter.endless : text.meter.none) : formatClock(left);
    const share = left === null || this._wholeMs === 0 ? null : left / this._wholeMs;
    const spoken = left === null ? text.meter.unlimited : text.meter.spoken(formatLength(Math.ceil(left / 1000)));
    this.ring.set({ share, label: clock, level, spoken });
    this.caption.textContent = this._caption(left);
    this.addTime.hidden = !this.limited;
    this.addTime.classList.toggle("button--primary", level === "warning" || level === "urgent");
    document.body.dataset.meterLevel = level;
    this._speak(level);
  }

  /** Time used and its price; the time left matters only when the call ends with it. @param {string} cost */
  _drawUse(cost) {
    const left = this.leftMs;
    const meter = /** @type {MeterInfo} */ (this._meter);
    const isEnding = this.endsHere && left !== null && left <= URGENT_MS;
    const level = meter.state === "waiting" || meter.state === "paused" ? "paused" : isEnding ? "urgent" : "calm";
    const used = formatUsed(this.usedMs);
    const share = left === null || this._wholeMs === 0 ? null : left / this._wholeMs;
    this.ring.set({ share, label: isEnding ? formatClock(left) : used, level, spoken: text.use.spoken(formatLength(Math.floor(this.usedMs / 1000)), cost) });
    this.caption.textContent = isEnding ? text.meter.counting : level === "paused" ? this._caption(left) : text.use.used;
    this._showCost(cost);
    document.body.dataset.meterLevel = level;
    document.body.dataset.meterCost = cost;
    this.addTime.classList.toggle("button--primary", isEnding);
    if (level === "urgent" && this._spoken !== "urgent") announce(this._lastMinute, "assertive");
    if (level !== "paused") this._spoken = level;
  }

  /** The price is the button's text: on a phone there is room for nothing else. @param {string} cost */
  _showCost(cost) {
    this.addTime.hidden = false;
    if (this.addTime.textContent === cost) return;
    this.addTime.textContent = cost;
    this.addTime.setAttribute("aria-label", text.use.openCost(cost));
  }

  /** @param {number|null} left */
  _caption(left) {
    if (!this._meter) return text.meter.waiting;
    if (left === null && this.state === "counting") return text.meter.unlimited;
    return { waiting: text.meter.waiting, paused: text.meter.paused }[/** @type {"waiting"} */ (this.state)] ?? text.meter.counting;
  }

  /** Spoken once at each border, and again after time was added. @param {Level} level */
  _speak(level) {
    if (level === this._spoken || level === "paused") return;
    if (level === "urgent") announce(text.meter.lastMinute, "assertive");
    if (level === "warning" && this._spoken === "calm") announce(text.meter.fiveMinutes);
    this._spoken = level;
  }
}
