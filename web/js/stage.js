// The faces: tiles that re-flow, a shared screen on the stage, our own picture small and movable.

import { h, replace } from "./dom.js";
import { icon } from "./icons.js";
import { initial } from "./format.js";
import { speakingSign } from "./signs.js";
import { SizeWatch } from "./sizewatch.js";
import { call as text } from "./strings/call.en.js";

/** @typedef {import("./protocol.js").Participant} Participant */
/** @typedef {import("./peers.js").RemoteTrack} RemoteTrack */
/** @typedef {{element: HTMLLIElement, video: HTMLVideoElement, avatar: HTMLElement, note: HTMLElement, label: HTMLElement, spokeAt: number, stillLooks: number}} Tile */
/**
 * @typedef {object} StageView what there is to be shown
 * @property {Participant[]} people who may be seen, without ourselves
 * @property {RemoteTrack[]} tracks
 * @property {{id: string, shown: boolean, camera: MediaStreamTrack|null, cameraOn: boolean, microphoneOn: boolean}} self
 */

const TILE_RATIO = 16 / 9;
// Beyond this difference of shapes, filling a tile would cut away most of the picture.
const CROP_MAX = 2;
const SPEAKING_LEVEL = 0.02;
// How long somebody stays marked after the last sound: words have gaps. The server has thought of them already.
const SPEAKING_HOLD_MS = 1_500;
const TOLD_HOLD_MS = 500;
// Looks without a new picture before we say so; a shared screen that does not change sends few.
const STILL_LOOKS = { camera: 2, screen: 4 };
const REORDER_EVERY_MS = 4_000;

/**
 * Columns that make `count` tiles largest in a box.
 * @param {number} count @param {number} width @param {number} height @returns {number}
 */
export function bestColumns(count, width, height) {
  let best = { columns: 1, size: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const size = Math.min(width / columns, (height / rows) * TILE_RATIO);
    if (size > best.size) best = { columns, size };
  }
  return best.columns;
}

export class Stage {
  /** @param {HTMLElement} element @param {{selfLarge?: boolean, now?: () => number}} [options] `selfLarge`: alone, we fill the stage ourselves */
  constructor(element, { selfLarge = false, now = () => performance.now() } = {}) {
    this.element = element;
    this._selfLarge = selfLarge;
    this._now = now;
    this._reorderedAt = 0;
    /** @type {Map<string, Tile>} "participant/source" → tile */
    this._tiles = new Map();
    /** By the server's word; null: it has not said any. @type {Set<string>|null} */
    this._speakers = null;
    /** Who is heard but not judged by the server. @type {Set<string>} */
    this._unjudged = new Set();
    /** @type {Record<string, number>} */
    this._levels = {};
    this._soundOnly = false;
    this._slow = false;
    /** How large each tile is seen; tells at every change. */
    this.sizes = new SizeWatch();
    this.spotlight = h("ul", { class: "stage__spotlight", hidden: true });
    this.grid = h("ul", { class: "stage__grid" });
    this.self = new SelfView();
    this.overlay = h("div", { class: "stage__overlay" });
    replace(element, this.spotlight, this.grid, this.overlay, this.self.element);
    new ResizeObserver(() => this._layout()).observe(element);
  }

  /** @param {StageView} view */
  show(view) {
    const wanted = this._wanted(view);
    for (const [key, tile] of this._tiles) if (!wanted.has(key)) this._drop(key, tile);
    for (const [key, { person, track, on, source }] of wanted) this._place(key, person, track, on, source);
    this._unjudged = new Set(view.people.filter(({ via }) => via === "whip").map((person) => person.participant_id));
    this._showSelf(view.self, wanted.size);
    this.spotlight.hidden = this.spotlight.childElementCount === 0;
    this.element.dataset.people = String(this.grid.childElementCount);
    this.element.dataset.mode = this.spotlight.hidden ? "grid" : "screen";
    // Beside a screen the faces scroll; a keyboard must reach what scrolls.
    this.grid.tabIndex = this.spotlight.hidden ? -1 : 0;
    this._layout();
  }

  /** @param {StageView} view */
  _wanted({ people, tracks }) {
    const trackOf = (/** @type {string} */ id, /** @type {string} */ source) =>
      tracks.find((track) => track.participant_id === id && track.source === source)?.track ?? null;
    const wanted = new Map();
    for (const person of people) {
      const camera = trackOf(person.participant_id, "camera");
      const on = camera !== null && person.media?.camera !== false;
      wanted.set(`${person.participant_id}/camera`, { person, track: camera, on, source: "camera" });
      const screen = trackOf(person.participant_id, "screen");
      if (screen) wanted.set(`${person.participant_id}/screen`, { person, track: screen, on: true, source: "screen" });
    }
    return wanted;
  }

  /** @param {string} key @param {Participant} person @param {MediaStreamTrack|null} track @param {boolean} on @param {string} source */
  _place(key, person, track, on, source) {
    const tile = this._tiles.get(key) ?? this._makeTile(key, person, source);
    showTrack(tile.video, track);
    tile.element.dataset.camera = on ? "on" : "off";
    tile.element.dataset.role = person.role;
    const name = person.name || (person.role === "host" ? text.host : text.nameless);
    tile.avatar.textContent = initial(name);
    const muted = source === "camera" && person.media?.microphone === false;
    replace(tile.label, speakingSign(), muted && icon("microphone-off", { label: text.isMuted }), h("span", null, source === "screen" ? text.screenOf(name) : name));
  }

  /** @param {string} key @param {Participant} person @param {string} source */
  _makeTile(key, person, source) {
    const video = makeVideo(person.participant_id, source);
    const avatar = h("span", { class: "tile__avatar", "aria-hidden": "true" });
    const label = h("p", { class: "tile__label" });
    const note = h("p", { class: "tile__note" });
    const element = h("li", { class: `tile tile--${source}`, dataset: { participant: person.participant_id, speaking: "no", frozen: "no" } },
      video, h("div", { class: "tile__middle" }, avatar, note), label);
    video.addEventListener("resize", () => fit(element, video));
    const tile = { element, video, avatar, note, label, spokeAt: -Infinity, stillLooks: 0 };
    this._tiles.set(key, tile);
    this.sizes.watch(key, element, video);
    (source === "screen" ? this.spotlight : this.grid).append(element);
    return tile;
  }

  /** @param {string} key @param {Tile} tile */
  _drop(key, tile) {
    tile.video.srcObject = null;
    this.sizes.drop(key);
    tile.element.remove();
    this._tiles.delete(key);
  }

  /** @param {StageView["self"]} self @param {number} others */
  _showSelf(self, others) {
    this.self.show(self);
    const large = this._selfLarge && others === 0 && self.shown;
    this.self.element.dataset.size = large ? "large" : "small";
  }

  /**
   * Rings around who speaks, and a word where a picture stands still.
   * @param {{levels: Record<string, number>, frozen: Record<string, boolean>}} link
   */
  listen({ levels, frozen }) {
    this._levels = levels;
    for (const [key, tile] of this._tiles) {
      // In a hidden tab a browser decodes nothing, and the server need not send.
      tile.stillLooks = frozen[key] === true && !document.hidden ? tile.stillLooks + 1 : 0;
      this._drawStill(key, tile);
    }
    this._drawSpeakers();
    this._speakerFirst(this._now());
  }

  /** @param {string[]|null} participantIds by the server's word; null: it has none, and what is heard decides */
  speak(participantIds) {
    this._speakers = participantIds && new Set(participantIds);
    this._drawSpeakers();
  }

  /** How our line is, for the words on a picture that stands still. @param {import("./line.js").LineState} state */
  receives(state) {
    this._soundOnly = state === "audio_only";
    this._slow = state !== "good";
    for (const [key, tile] of this._tiles) this._drawStill(key, tile);
  }

  /** A picture that stands still is not shown as if it were live. @param {string} key @param {Tile} tile */
  _drawStill(key, tile) {
    const looks = STILL_LOOKS[key.endsWith("/screen") ? "screen" : "camera"];
    const still = tile.stillLooks >= (this._soundOnly ? 1 : looks) && tile.element.dataset.camera === "on";
    tile.element.dataset.frozen = still ? "yes" : "no";
    const words = !still ? "" : this._soundOnly ? text.soundOnly : this._slow ? text.pictureStoppedSlow : text.pictureStopped;
    if (tile.note.textContent !== words) tile.note.textContent = words;
  }

  _drawSpeakers() {
    const now = this._now();
    for (const [key, tile] of this._tiles) {
      const id = tile.element.dataset.participant ?? "";
      if (this._speaks(id)) tile.spokeAt = now;
      mark(tile.element, key.endsWith("/camera") && this._marked(tile.spokeAt, now));
    }
    if (this._speaks(this.self.id)) this.self.spokeAt = now;
    mark(this.self.element, this._marked(this.self.spokeAt, now));
  }

  /** @param {string} id */
  _speaks(id) {
    if (this._speakers && !this._unjudged.has(id)) return this._speakers.has(id);
    return (this._levels[id] ?? 0) > SPEAKING_LEVEL;
  }

  /** @param {number} spokeAt @param {number} now */
  _marked(spokeAt, now) {
    return now - spokeAt < (this._speakers ? TOLD_HOLD_MS : SPEAKING_HOLD_MS);
  }

  /** Who spoke last comes first, at most every few seconds, so that faces do not jump about. @param {number} now */
  _speakerFirst(now) {
    const tiles = [...this._tiles.entries()].filter(([key]) => key.endsWith("/camera")).map(([, tile]) => tile);
    if (tiles.length < 3 || now - this._reorderedAt < REORDER_EVERY_MS) return;
    const first = tiles.reduce((a, b) => (b.spokeAt > a.spokeAt ? b : a));
    if (first.spokeAt === -Infinity || first.element.style.order === "-1") return;
    for (const tile of tiles) tile.element.style.order = tile === first ? "-1" : "0";
    this._reorderedAt = now;
  }

  _layout() {
    const { width, height } = this.grid.getBoundingClientRect();
    const count = this.grid.childElementCount;
    if (count > 0 && width > 0) {
      const columns = bestColumns(count, width, height);
      this.grid.style.setProperty("--columns", String(columns));
      this.grid.style.setProperty("--rows", String(Math.ceil(count / columns)));
    }
    for (const { element, video } of this._tiles.values()) fit(element, video);
  }
}

/** @param {HTMLElement} element @param {boolean} speaking */
function mark(element, speaking) {
  const word = speaking ? "yes" : "no";
  if (element.dataset.speaking !== word) element.dataset.speaking = word;
}

/** Fill the tile, or show the whole picture when filling would cut too much away. @param {HTMLElement} tile @param {HTMLVideoElement} video */
function fit(tile, video) {
  const { clientWidth, clientHeight } = tile;
  if (!video.videoWidth || !clientHeight) return;
  const shapes = (video.videoWidth / video.videoHeight) / (clientWidth / clientHeight);
  const crop = Math.max(shapes, 1 / shapes);
  tile.dataset.fit = crop > CROP_MAX || tile.classList.contains("tile--screen") ? "contain" : "cover";
}

/** @param {string} participantId @param {string} source */
function makeVideo(participantId, source) {
  // Sound comes from elements of its own, so a picture may always start by itself.
  const video = h("video", { class: "tile__video", autoplay: true, playsinline: true, muted: true, dataset: { participant: participantId, source } });
  video.disablePictureInPicture = source !== "screen";
  return video;
}

/** @param {HTMLVideoElement} video @param {MediaStreamTrack|null} track */
export function showTrack(video, track) {
  const current = /** @type {MediaStream|null} */ (video.srcObject)?.getVideoTracks()[0] ?? null;
  if (current === track) return;
  video.srcObject = track && new MediaStream([track]);
  if (track) video.play().catch(() => undefined);
}

const CORNERS = ["top-left", "top-right", "bottom-left", "bottom-right"];

/** Our own picture: mirrored, in a corner, to be dragged or moved with the arrow keys. */
class SelfView {
  constructor() {
    this.id = "";
    this.spokeAt = -Infinity;
    this.video = makeVideo("", "camera");
    this.avatar = h("span", { class: "tile__avatar", "aria-hidden": "true" }, icon("camera-off"));
    this.muted = h("span", { class: "selfview__muted", hidden: true }, icon("microphone-off", { label: text.isMuted }));
    this.element = h("div", { class: "selfview", role: "group", tabindex: 0, "aria-label": text.selfView, hidden: true,
      dataset: { corner: "bottom-right", size: "small", self: "yes", camera: "off", speaking: "no" } },
    this.video, this.avatar, h("p", { class: "tile__label" }, speakingSign(), this.muted, h("span", null, text.you)));
    this.element.addEventListener("keydown", (event) => this._key(event));
    this.element.addEventListener("pointerdown", (event) => this._drag(event));
  }

  /** @param {StageView["self"]} self */
  show({ id, shown, camera, cameraOn, microphoneOn }) {
    this.id = id;
    this.video.dataset.participant = id;
    this.element.hidden = !shown;
    showTrack(this.video, camera);
    this.element.dataset.camera = cameraOn ? "on" : "off";
    this.muted.hidden = microphoneOn;
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const [vertical, horizontal] = (this.element.dataset.corner ?? "bottom-right").split("-");
    const moves = { ArrowUp: `top-${horizontal}`, ArrowDown: `bottom-${horizontal}`, ArrowLeft: `${vertical}-left`, ArrowRight: `${vertical}-right` };
    const corner = /** @type {Record<string, string>} */ (moves)[event.key];
    if (!corner) return;
    event.preventDefault();
    this.element.dataset.corner = corner;
  }

  /** @param {PointerEvent} start */
  _drag(start) {
    if (this.element.dataset.size === "large") return;
    const view = this.element;
    view.setPointerCapture(start.pointerId);
    const move = (/** @type {PointerEvent} */ event) => {
      view.dataset.dragging = "yes";
      view.style.translate = `${event.clientX - start.clientX}px ${event.clientY - start.clientY}px`;
    };
    const drop = () => {
      view.removeEventListener("pointermove", move);
      view.dataset.corner = this._nearestCorner();
      view.style.translate = "";
      delete view.dataset.dragging;
    };
    view.addEventListener("pointermove", move);
    view.addEventListener("lostpointercapture", drop, { once: true });
  }

  _nearestCorner() {
    const own = this.element.getBoundingClientRect();
    const stage = /** @type {HTMLElement} */ (this.element.parentElement).getBoundingClientRect();
    const right = own.left + own.width / 2 > stage.left + stage.width / 2;
    const bottom = own.top + own.height / 2 > stage.top + stage.height / 2;
    return CORNERS[(bottom ? 2 : 0) + (right ? 1 : 0)];
  }
}
