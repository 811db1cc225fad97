// Our own microphone, camera and screen: asked for, switched on and off, exchanged. The browser is asked by devices.js.

import { openDevices, rememberedDevices, rememberDevices } from "./devices.js";

/** @typedef {import("./protocol.js").Source} Source */
/** @typedef {"denied"|"missing"|"busy"|"insecure"|"other"} Problem */

const ID_OF = /** @type {const} */ ({ microphone: "microphoneId", camera: "cameraId" });

/**
 * Events: `change` when a track came, went or was switched on or off.
 * A muted track stays and sends silence (a dark picture): the server hears by it that we are still here.
 */
export class LocalMedia extends EventTarget {
  constructor() {
    super();
    /** @type {Map<Source, MediaStreamTrack>} */
    this._tracks = new Map();
    /** @type {{microphone?: Problem, camera?: Problem}} */
    this.problems = {};
    /** What should be on, also for a track that is not there yet; and which devices. */
    this.choice = rememberedDevices();
  }

  /** What is there to be published. @returns {Map<Source, MediaStreamTrack>} */
  tracks() {
    return new Map(this._tracks);
  }

  /** @param {Source} source @returns {MediaStreamTrack|null} */
  track(source) {
    return this._tracks.get(source) ?? null;
  }

  /** What others should see as switched on. @returns {import("./protocol.js").MediaState} */
  state() {
    return { microphone: this.isOn("microphone"), camera: this.isOn("camera"), screen: this._tracks.has("screen") };
  }

  /** @param {Source} source */
  isOn(source) {
    return this._tracks.get(source)?.enabled === true;
  }

  /**
   * Ask for what is not there yet. Both at once, so that the browser asks one question; when that fails, each
   * alone, so that a missing camera does not cost the microphone. Fills `problems`, never rejects.
   * @param {{microphone?: boolean, camera?: boolean}} [which]
   */
  async open({ microphone = this.choice.microphone, camera = this.choice.camera } = {}) {
    const audio = microphone && !this._tracks.has("microphone");
    const video = camera && !this._tracks.has("camera");
    if (audio && video && (await this._get({ audio, video }))) return;
    if (audio) await this._get({ audio });
    if (video) await this._get({ video });
  }

  /** @param {{audio?: boolean, video?: boolean}} which @returns {Promise<boolean>} */
  async _get({ audio = false, video = false }) {
    try {
      this.adopt(await openDevices({ ...this.choice, microphone: audio, camera: video }));
      return true;
    } catch (error) {
      const problem = /** @type {import("./devices.js").DeviceError} */ (error).code;
      if (audio) this.problems.microphone = problem;
      if (video) this.problems.camera = problem;
      this._changed();
      return false;
    }
  }

  /** Take over the tracks of a stream, from a preview for instance. @param {MediaStream} stream */
  adopt(stream) {
    for (const track of stream.getTracks()) this._take(track.kind === "audio" ? "microphone" : "camera", track);
    this._changed();
  }

  /** @param {"microphone"|"camera"} source @param {MediaStreamTrack} track */
  _take(source, track) {
    this._tracks.get(source)?.stop();
    track.enabled = this.choice[source];
    track.contentHint = source === "microphone" ? "speech" : "motion";
    delete this.problems[source];
    this._tracks.set(source, track);
    track.addEventListener("ended", () => this._unplugged(source, track));
  }

  /** A device that was pulled out: fall back to whatever else there is. @param {"microphone"|"camera"} source @param {MediaStreamTrack} track */
  async _unplugged(source, track) {
    if (this._tracks.get(source) !== track) return;
    this._tracks.delete(source);
    this.choice[ID_OF[source]] = undefined;
    await this._get(source === "microphone" ? { audio: true } : { video: true });
  }

  /** @param {"microphone"|"camera"} source @param {boolean} on @returns {Promise<boolean>} what it is now */
  async setOn(source, on) {
    this.choice[source] = on;
    const track = this._tracks.get(source);
    if (track) track.enabled = on;
    else if (on) await this.open({ microphone: source === "microphone", camera: source === "camera" });
    rememberDevices(this.choice);
    this._changed();
    return this.isOn(source);
  }

  /** @param {"microphone"|"camera"} source @param {string} deviceId @returns {Promise<boolean>} */
  async choose(source, deviceId) {
    this.choice[ID_OF[source]] = deviceId;
    rememberDevices(this.choice);
    // Firefox and phones refuse a second camera while the first is open.
    if (source === "camera") this._tracks.get(source)?.stop();
    const done = await this._get(source === "microphone" ? { audio: true } : { video: true });
    if (!done && this._tracks.get(source)?.readyState === "ended") this._tracks.delete(source);
    return done;
  }

  /** Phones cannot. */
  static canShareScreen() {
    return typeof navigator.mediaDevices?.getDisplayMedia === "function";
  }

  /** @returns {Promise<boolean>} false when the person changed their mind or the browser refused */
  async startScreen() {
    if (!LocalMedia.canShareScreen()) return false;
    try {
      const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: true });
      this._takeScreen(stream);
      return true;
    } catch {
      return false;
    }
  }

  /** @param {MediaStream} stream */
  _takeScreen(stream) {
    const [video] = stream.getVideoTracks();
    const [audio] = stream.getAudioTracks();
    video.contentHint = "detail";
    this._tracks.set("screen", video);
    if (audio) this._tracks.set("screen_audio", audio);
    // The browser's own "Stop sharing" ends the track.
    video.addEventListener("ended", () => this.stopScreen());
    this._changed();
  }

  stopScreen() {
    if (!this._tracks.has("screen")) return;
    for (const source of /** @type {Source[]} */ (["screen", "screen_audio"])) {
      this._tracks.get(source)?.stop();
      this._tracks.delete(source);
    }
    this._changed();
  }

  /** Give every device back. */
  close() {
    const tracks = [...this._tracks.values()];
    this._tracks.clear();
    tracks.forEach((track) => track.stop());
    this._changed();
  }

  _changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }
}
