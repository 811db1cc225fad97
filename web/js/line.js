// How good the line is, in one word: from what the server says of our receiving and from our own statistics. No DOM.

/** @typedef {"good"|"reduced"|"poor"|"audio_only"} LineState */
/** @typedef {"in"|"out"|"device"} LineSide what we receive, what we send, or what this device manages to encode */
/** @typedef {{state: LineState, side: LineSide}} Line */
/**
 * @typedef {object} Look one second of a call
 * @property {LineState|null} told the server's last word on our receiving, null before the first
 * @property {import("./peers.js").Quality|null} incoming what our own statistics say, null when nothing flows
 * @property {import("./peers.js").Quality|null} outgoing
 * @property {string} limited why our picture is smaller than it could be: "bandwidth", "cpu" or ""
 */

const RANK = { good: 0, reduced: 1, poor: 2, audio_only: 3 };
const GOOD = /** @type {Line} */ ({ state: "good", side: "in" });
const REDUCED = /** @type {Line} */ ({ state: "reduced", side: "in" });
// Several looks, so that one lost second, or the first seconds of a call, do not alarm anybody.
const LOOKS = 4;
const TOLD_LOOKS = 3;
const LIMITED_LOOKS = 15;
// What got better is believed a while later: a sign that comes and goes helps nobody.
const BETTER_AFTER_MS = 6_000;

/** One line for the page, which changes rarely. */
export class LineWatch {
  constructor({ now = () => performance.now() } = {}) {
    this._now = now;
    /** @type {Record<string, number>} how many looks in a row, nearly, have shown it */
    this._seen = {};
    /** @type {Line|null} */
    this.shown = null;
    this._shownAt = 0;
  }

  /** @param {Look} look @returns {Line|null} null before anything is known */
  look({ told, incoming, outgoing, limited }) {
    /** @type {Line[]} */
    const found = [];
    const stays = this._lasting("told", told === "reduced", TOLD_LOOKS);
    if (told && (told !== "reduced" || stays)) found.push({ state: told, side: "in" });
    if (this._lasting("in", incoming === "poor", LOOKS)) found.push({ state: "poor", side: "in" });
    if (this._lasting("out", outgoing === "poor", LOOKS)) found.push({ state: "poor", side: "out" });
    if (this._lasting("bandwidth", limited === "bandwidth", LIMITED_LOOKS)) found.push({ state: "reduced", side: "out" });
    if (this._lasting("cpu", limited === "cpu", LIMITED_LOOKS)) found.push({ state: "reduced", side: "device" });
    if (found.length === 0 && (incoming || outgoing)) found.push(GOOD);
    return found.length === 0 ? this.shown : this._show(found.reduce((a, b) => (RANK[b.state] > RANK[a.state] ? b : a)));
  }

  /** @param {string} what @param {boolean} now @param {number} looks */
  _lasting(what, now, looks) {
    const seen = this._seen[what] ?? 0;
    this._seen[what] = now ? Math.min(looks + 2, seen + 1) : Math.max(0, seen - 1);
    return this._seen[what] >= looks;
  }

  /** Worse is shown at once; better, or as bad for another reason, when it has lasted. @param {Line} line */
  _show(line) {
    const shown = this.shown;
    // "Sound only" beside a picture that moves again would be wrong at once; that it is small, is not.
    const back = shown?.state === "audio_only" && line.state !== "audio_only";
    if (back && line.state === "good") return this._is(REDUCED);
    const same = shown?.state === line.state && shown.side === line.side;
    const worse = !shown || RANK[line.state] > RANK[shown.state];
    const lasted = this._now() - this._shownAt >= BETTER_AFTER_MS;
    return same || worse || back || lasted ? this._is(same ? shown : line) : shown;
  }

  /** @param {Line} line */
  _is(line) {
    this._shownAt = this._now();
    this.shown = line;
    return line;
  }
}
