// What is heard: one audio element per remote microphone or shared sound. A browser may refuse to start sound
// before the first tap (after the way back from a payment page); then `blocked` is told, and start() called by a tap.

import { h } from "./dom.js";

/** @typedef {import("./peers.js").RemoteTrack} RemoteTrack */

/** Events: `blocked` (`detail`: boolean). */
export class Sounds extends EventTarget {
  constructor() {
    super();
    this.element = h("div", { class: "sounds", hidden: true });
    /** @type {Map<string, HTMLAudioElement>} */
    this._players = new Map();
    this._sinkId = "";
    this.blocked = false;
  }

  /** @param {RemoteTrack[]} tracks */
  show(tracks) {
    const wanted = new Map(tracks.filter((track) => track.kind === "audio").map((track) => [`${track.participant_id}/${track.source}`, track]));
    for (const [key, player] of this._players) if (!wanted.has(key)) this._drop(key, player);
    for (const [key, track] of wanted) this._play(key, track);
    if (wanted.size === 0) this._setBlocked(false);
  }

  /** @param {string} key @param {HTMLAudioElement} player */
  _drop(key, player) {
    player.srcObject = null;
    player.remove();
    this._players.delete(key);
  }

  /** @param {string} key @param {RemoteTrack} remote */
  _play(key, remote) {
    let player = this._players.get(key);
    if (!player) {
      player = h("audio", { autoplay: true, dataset: { participant: remote.participant_id, source: remote.source } });
      this._players.set(key, player);
      this.element.append(player);
      this._sendTo(player);
    }
    const current = /** @type {MediaStream|null} */ (player.srcObject)?.getAudioTracks()[0];
    if (current === remote.track) return;
    player.srcObject = new MediaStream([remote.track]);
    this._try(player);
  }

  /** @param {HTMLAudioElement} player */
  async _try(player) {
    try {
      await player.play();
      this._setBlocked(false);
    } catch (error) {
      if (/** @type {Error} */ (error).name === "NotAllowedError") this._setBlocked(true);
    }
  }

  /** To be called from a tap. */
  start() {
    for (const player of this._players.values()) this._try(player);
  }

  /** @param {string} deviceId "" is the system's choice */
  setSink(deviceId) {
    this._sinkId = deviceId;
    for (const player of this._players.values()) this._sendTo(player);
  }

  /** @param {any} player setSinkId is missing in some browsers */
  _sendTo(player) {
    if (this._sinkId && player.setSinkId) player.setSinkId(this._sinkId).catch(() => undefined);
  }

  /** @param {boolean} blocked */
  _setBlocked(blocked) {
    if (blocked === this.blocked) return;
    this.blocked = blocked;
    this.dispatchEvent(new CustomEvent("blocked", { detail: blocked }));
  }
}
