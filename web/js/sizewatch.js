// How large elements are seen, in device pixels: nothing in a hidden tab or out of sight.

/** @typedef {import("./views.js").Pixels} Pixels */
/** @typedef {{element: HTMLElement, video: HTMLVideoElement, box: {width: number, height: number}|null, inSight: boolean}} Watched */

// Who looks at another tab for a moment should find the picture moving.
const HIDDEN_AFTER_MS = 5_000;

/** Events: `change`, often; `all()` is what it has come to. */
export class SizeWatch extends EventTarget {
  constructor() {
    super();
    /** @type {Map<string, Watched>} */
    this._watched = new Map();
    this._hidden = false;
    this._timer = 0;
    this._resized = new ResizeObserver((entries) => this._each(entries, (item, entry) => { item.box = entry.contentRect; }));
    this._crossed = new IntersectionObserver((entries) => this._each(entries, (item, entry) => { item.inSight = entry.isIntersecting; }));
    document.addEventListener("visibilitychange", () => this._visibility());
    addEventListener("resize", () => this._changed());
  }

  /** @param {string} key @param {HTMLElement} element @param {HTMLVideoElement} video may be seen in a window of its own */
  watch(key, element, video) {
    this._watched.set(key, { element, video, box: null, inSight: true });
    this._resized.observe(element);
    this._crossed.observe(element);
    this._changed();
  }

  /** @param {string} key */
  drop(key) {
    const item = this._watched.get(key);
    if (!item) return;
    this._resized.unobserve(item.element);
    this._crossed.unobserve(item.element);
    this._watched.delete(key);
    this._changed();
  }

  /** @returns {Record<string, Pixels|null>} null: not measured yet */
  all() {
    return Object.fromEntries([...this._watched].map(([key, item]) => [key, this._size(item)]));
  }

  /** @param {Watched} item @returns {Pixels|null} */
  _size({ video, box, inSight }) {
    if (!box) return null;
    const floats = document.pictureInPictureElement === video;
    if (!floats && (this._hidden || !inSight)) return [0, 0];
    return [Math.round(box.width * devicePixelRatio), Math.round(box.height * devicePixelRatio)];
  }

  /**
   * @template {{target: Element}} T
   * @param {T[]} entries @param {(item: Watched, entry: T) => void} note
   */
  _each(entries, note) {
    const items = [...this._watched.values()];
    for (const entry of entries) {
      const item = items.find(({ element }) => element === entry.target);
      if (item) note(item, entry);
    }
    this._changed();
  }

  _visibility() {
    clearTimeout(this._timer);
    const hidden = document.hidden;
    this._timer = setTimeout(() => {
      this._hidden = hidden;
      this._changed();
    }, hidden ? HIDDEN_AFTER_MS : 0);
  }

  _changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }
}
