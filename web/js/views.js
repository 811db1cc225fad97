// Tells the server how large each received picture is shown, so that it sends no more than that. No DOM.

/** @typedef {[number, number]} Pixels width and height in device pixels, [0, 0] where it is not seen */

// A window that is being dragged changes at every frame; the server takes 4 messages a second.
const TELL_EVERY_MS = 300;
// Smaller differences ask for no other picture.
const SHARE_MIN = 0.1;

export class Views {
  /**
   * @param {object} options
   * @param {(sizes: Record<string, Pixels>) => boolean} options.send false: not connected, not sent
   * @param {{setTimeout: Function, clearTimeout: Function}} [options.timers]
   */
  constructor({ send, timers = globalThis }) {
    this._send = send;
    this._timers = timers;
    /** @type {Record<string, Pixels>} */
    this._wanted = {};
    /** @type {Record<string, Pixels>} what the server knows */
    this._told = {};
    this._timer = null;
  }

  /** @param {Record<string, Pixels>} sizes by mid, all of them */
  set(sizes) {
    this._wanted = sizes;
    if (this._timer === null && differ(sizes, this._told)) this._timer = this._timers.setTimeout(() => this._tell(), TELL_EVERY_MS);
  }

  /** The server may know nothing: a new stay, or a socket that broke with a message on its way. */
  again() {
    this._told = {};
    this.set(this._wanted);
  }

  stop() {
    this._timers.clearTimeout(this._timer);
    this._timer = null;
    this._wanted = {};
    this._told = {};
  }

  _tell() {
    this._timer = null;
    if (differ(this._wanted, this._told) && this._send(this._wanted)) this._told = this._wanted;
  }
}

/** Would the server choose otherwise? @param {Record<string, Pixels>} a @param {Record<string, Pixels>} b */
function differ(a, b) {
  const mids = Object.keys(a);
  return mids.length !== Object.keys(b).length || mids.some((mid) => !b[mid] || !alike(a[mid][0], b[mid][0]) || !alike(a[mid][1], b[mid][1]));
}

/** @param {number} a @param {number} b */
function alike(a, b) {
  if (a === 0 || b === 0) return a === b;
  return Math.abs(a - b) <= SHARE_MIN * Math.max(a, b);
}
