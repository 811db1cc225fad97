/** Camera and microphone: asking for them, choosing them, seeing and hearing that they work. Shared by the card, the call and the studio. */

import { h, replace, banner, button, levelMeter } from "./dom.js";
import { icon } from "./icons.js";
import { en } from "./strings/en.js";

const KEPT = "tollroom:devices";

/** @typedef {{cameraId?: string, microphoneId?: string, camera: boolean, microphone: boolean}} DeviceChoice what is switched on, and which */

/** What was chosen last in this browser. @returns {DeviceChoice} */
export function rememberedDevices() {
  try {
    return { camera: true, microphone: true, ...JSON.parse(localStorage.getItem(KEPT) ?? "{}") };
  } catch {
    return { camera: true, microphone: true };
  }
}

/** @param {DeviceChoice} choice */
export function rememberDevices(choice) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(choice));
  } catch {
    // The choice lives as long as the page, then.
  }
}

/** Why a browser gave nothing. */
export class DeviceError extends Error {
  /** @param {"denied" | "missing" | "busy" | "insecure" | "other"} code @param {unknown} [cause] */
  constructor(code, cause) {
    super(en.devices.problems[code][1], { cause });
    this.name = "DeviceError";
    this.code = code;
  }
}

/** @type {Record<string, "denied" | "missing" | "busy">} */
const CODES = { NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "missing", OverconstrainedError: "missing", NotReadableError: "busy", AbortError: "busy" };

/** @param {DeviceChoice} choice @returns {MediaStreamConstraints} `ideal`, so that an unplugged device falls back to another */
export function constraints({ camera, microphone, cameraId, microphoneId }) {
  return {
    audio: microphone && { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...(microphoneId ? { deviceId: { ideal: microphoneId } } : {}) },
    video: camera && { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, ...(cameraId ? { deviceId: { ideal: cameraId } } : { facingMode: "user" }) },
  };
}

/**
 * Ask the browser. Without camera and microphone the stream is empty. Throws DeviceError.
 * @param {DeviceChoice} choice @returns {Promise<MediaStream>}
 */
export async function openDevices(choice) {
  if (!choice.camera && !choice.microphone) return new MediaStream();
  if (!navigator.mediaDevices) throw new DeviceError("insecure");
  try {
    return await navigator.mediaDevices.getUserMedia(constraints(choice));
  } catch (error) {
    throw new DeviceError(CODES[/** @type {DOMException} */ (error).name] ?? "other", error);
  }
}

/** @param {MediaStream | null} stream */
export function closeStream(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/** Cameras and microphones with names to show. @returns {Promise<{cameras: {id: string, name: string}[], microphones: {id: string, name: string}[]}>} */
export async function listDevices() {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const pick = (/** @type {string} */ kind, /** @type {(n: number) => string} */ unnamed) =>
    all.filter((device) => device.kind === kind && device.deviceId).map((device, i) => ({ id: device.deviceId, name: device.label || unnamed(i + 1) }));
  return { cameras: pick("videoinput", en.devices.unnamedCamera), microphones: pick("audioinput", en.devices.unnamedMicrophone) };
}

/**
 * The loudness of a stream's microphone, 0 to 1, about 15 times a second. @param {MediaStream} stream @param {(level: number) => void} onLevel
 * @returns {() => void} stop
 */
export function watchLevel(stream, onLevel) {
  const track = stream.getAudioTracks()[0];
  if (!track) return () => {};
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 1024 });
  context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    onLevel(levelOf(samples));
  }, 66);
  return () => { clearInterval(timer); context.close(); };
}

const FLOOR_DB = -60;

/** Root mean square in decibels, scaled so that quiet speech is near the middle. @param {Float32Array} samples @returns {number} 0 to 1 */
export function levelOf(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length || 1e-12);
  return Math.min(1, Math.max(0, 1 - db / FLOOR_DB));
}

/**
 * Picture, level meter, choice of devices, and switches for going in without. The stream stays open until `destroy` or `release`.
 * @param {HTMLElement} element filled by this
 * @param {{choice?: DeviceChoice, onChange?: (stream: MediaStream | null, choice: DeviceChoice) => void}} [options]
 */
export function devicePreview(element, { choice = rememberedDevices(), onChange } = {}) {
  return new DevicePreview(element, choice, onChange ?? (() => {}));
}

class DevicePreview {
  /** @type {MediaStream | null} */ stream = null;
  /** Counts openings, so that a late answer of the browser to an earlier one is closed, not shown. */
  #opening = 0;
  #stopLevel = () => {};
  #relist = () => { this.#fillLists(); };

  /** @param {HTMLElement} element @param {DeviceChoice} choice @param {(stream: MediaStream | null, choice: DeviceChoice) => void} onChange */
  constructor(element, choice, onChange) {
    this.choice = { ...choice };
    this.onChange = onChange;
    this.video = h("video", { class: "device-check__video", autoplay: true, playsinline: true, muted: true, "aria-label": en.devices.preview });
    this.cover = h("p", { class: "device-check__cover" }, icon("camera-off", { className: "icon--large" }), h("span", null, en.devices.noCamera));
    this.meter = levelMeter(16, en.devices.level);
    this.problem = h("div", { role: "status" });
    this.cameraSelect = this.#select("cameraId");
    this.microphoneSelect = this.#select("microphoneId");
    this.cameraSwitch = this.#switch("camera");
    this.microphoneSwitch = this.#switch("microphone");
    replace(element, this.#layout());
    navigator.mediaDevices?.addEventListener("devicechange", this.#relist);
    this.#paint();
  }

  #layout() {
    return h("div", { class: "device-check" },
      h("div", { class: "device-check__picture" }, this.video, this.cover,
        h("div", { class: "device-check__switches" }, this.microphoneSwitch, this.cameraSwitch)),
      h("div", { class: "device-check__level" }, this.meter.element, h("p", { class: "small muted" }, en.devices.speak)),
      this.problem,
      h("div", { class: "field__row" }, labelled(en.devices.camera, this.cameraSelect), labelled(en.devices.microphone, this.microphoneSelect)));
  }

  /** @param {"cameraId" | "microphoneId"} name */
  #select(name) {
    const select = h("select", { class: "field__input", disabled: true, on: { change: () => { this.choice[name] = select.value; this.open(); } } });
    return select;
  }

  /** @param {"camera" | "microphone"} name */
  #switch(name) {
    return h("button", { type: "button", class: "button button--round", on: { click: () => { this.choice[name] = !this.choice[name]; this.open(); } } });
  }

  /** Ask the browser, show what it gives. @returns {Promise<MediaStream | null>} null when it gave nothing */
  async open() {
    const mine = ++this.#opening;
    this.#close();
    let problem = null;
    let stream = null;
    try {
      stream = await openDevices(this.choice);
    } catch (error) {
      problem = /** @type {DeviceError} */ (error);
    }
    if (mine !== this.#opening) { closeStream(stream); return null; }
    this.stream = stream;
    this.#showProblem(problem);
    this.#paint();
    if (stream) { rememberDevices(this.choice); await this.#fillLists(); }
    this.onChange(stream, this.choice);
    return stream;
  }

  /** Without a camera, then; after a refusal, for instance. */
  openWithoutCamera() {
    this.choice.camera = false;
    return this.open();
  }

  #paint() {
    const camera = Boolean(this.stream?.getVideoTracks().length);
    const microphone = Boolean(this.stream?.getAudioTracks().length);
    this.video.srcObject = camera ? this.stream : null;
    this.cover.hidden = camera;
    this.#paintSwitch(this.cameraSwitch, "camera", camera, camera ? en.devices.cameraOn : en.devices.cameraOff);
    this.#paintSwitch(this.microphoneSwitch, "microphone", microphone, microphone ? en.devices.microphoneOn : en.devices.microphoneOff);
    if (microphone && this.stream) this.#stopLevel = watchLevel(this.stream, this.meter.set);
    else this.meter.set(0);
  }

  /** @param {HTMLElement} element @param {string} name @param {boolean} on @param {string} label */
  #paintSwitch(element, name, on, label) {
    replace(element, icon(on ? name : `${name}-off`, { label }));
    element.title = label;
    element.setAttribute("aria-pressed", String(on));
  }

  async #fillLists() {
    const { cameras, microphones } = await listDevices();
    const settings = (/** @type {MediaStreamTrack | undefined} */ track) => track?.getSettings().deviceId ?? "";
    fill(this.cameraSelect, cameras, settings(this.stream?.getVideoTracks()[0]), en.devices.noCamera);
    fill(this.microphoneSelect, microphones, settings(this.stream?.getAudioTracks()[0]), en.devices.noMicrophone);
  }

  /** @param {DeviceError | null} problem */
  #showProblem(problem) {
    if (!problem) { replace(this.problem); return; }
    const [title, text] = en.devices.problems[problem.code];
    const actions = [button(en.tryAgain, { icon: "refresh", kind: "small", onClick: () => { this.open(); } })];
    if (this.choice.camera && this.choice.microphone) {
      actions.push(button(en.devices.withoutCamera, { kind: "small", onClick: () => { this.openWithoutCamera(); } }));
    }
    replace(this.problem, banner("warning", { title, text, actions }));
  }

  #close() {
    this.#stopLevel();
    this.#stopLevel = () => {};
    closeStream(this.stream);
    this.stream = null;
  }

  /** Hand the stream over: this preview no longer closes it. @returns {MediaStream | null} */
  release() {
    const stream = this.stream;
    this.#stopLevel();
    this.stream = null;
    return stream;
  }

  destroy() {
    this.#opening += 1;
    navigator.mediaDevices?.removeEventListener("devicechange", this.#relist);
    this.#close();
  }
}

/** @param {string} text @param {HTMLSelectElement} control */
function labelled(text, control) {
  return h("label", { class: "field" }, h("span", { class: "field__label" }, text), control);
}

/** @param {HTMLSelectElement} select @param {{id: string, name: string}[]} devices @param {string} chosen @param {string} none */
function fill(select, devices, chosen, none) {
  replace(select, devices.length ? devices.map(({ id, name }) => h("option", { value: id }, name)) : h("option", { value: "" }, none));
  select.disabled = devices.length === 0;
  if (devices.some(({ id }) => id === chosen)) select.value = chosen;
}
