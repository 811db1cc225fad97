// Dialogs of a call: devices, keys, and being allowed to speak.

import { h, openDialog, replace } from "./dom.js";
import { listDevices } from "./devices.js";
import { deviceLink } from "./otherdevice.js";
import { call as text } from "./strings/call.en.js";
import { en } from "./strings/en.js";

/** @typedef {import("./localmedia.js").LocalMedia} LocalMedia */

/** @param {{timed: boolean}} options `timed`: the page of somebody whose time is counted */
export function showHelp({ timed }) {
  const keys = text.keys.map(([key, what]) => h("div", null, h("dt", null, h("kbd", { class: "key" }, key)), h("dd", null, what)));
  openDialog({ title: text.helpTitle, body: [
    h("dl", { class: "facts" }, keys),
    timed && h("p", { class: "muted" }, text.helpTime),
    timed && h("p", { class: "muted" }, text.helpLeave),
  ] });
}

/** Ask the one who may speak now. @returns {Promise<{microphone: boolean, camera: boolean}|null>} null: not now */
export async function askToSpeak() {
  const { closed } = openDialog({ title: text.grantTitle, body: h("p", null, text.grantBody), actions: [
    { text: text.grantNone, value: null, kind: "quiet" },
    { text: text.grantMicrophone, value: { microphone: true, camera: false }, icon: "microphone" },
    { text: text.grantBoth, value: { microphone: true, camera: true }, icon: "camera", kind: "primary" },
  ] });
  return (await closed) ?? null;
}

/**
 * @param {{media: LocalMedia, setSink: (deviceId: string) => void, sinkId: string, mayPublish: boolean, makeLink?: () => Promise<{url: string}>}} options
 *   `makeLink`: of a payer, who may go on elsewhere
 */
export async function chooseDevices({ media, setSink, sinkId, mayPublish, makeLink }) {
  const body = h("div", { class: "stack" });
  openDialog({ title: text.devicesTitle, body });
  const { cameras, microphones } = await listDevices();
  const speakers = await listSpeakers();
  replace(body,
    mayPublish && picker(text.camera, cameras, idOf(media.track("camera")), (id) => media.choose("camera", id)),
    mayPublish && picker(text.microphone, microphones, idOf(media.track("microphone")), (id) => media.choose("microphone", id)),
    picker(text.speaker, [{ id: "", name: text.systemSpeaker }, ...speakers], sinkId, setSink),
    makeLink && h("section", { class: "stack stack--tight" }, h("h3", null, en.receipt.device), deviceLink(makeLink)));
}

/** @returns {Promise<{id: string, name: string}[]>} empty where a page may not choose */
async function listSpeakers() {
  if (!("setSinkId" in HTMLMediaElement.prototype)) return [];
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return all.filter((device) => device.kind === "audiooutput" && device.deviceId && device.deviceId !== "default")
    .map((device, i) => ({ id: device.deviceId, name: device.label || text.deviceNumber(text.speaker, i + 1) }));
}

/** @param {MediaStreamTrack|null} track */
function idOf(track) {
  return track?.getSettings().deviceId ?? "";
}

/** @param {string} label @param {{id: string, name: string}[]} devices @param {string} chosen @param {(id: string) => void} onChoose */
function picker(label, devices, chosen, onChoose) {
  const options = devices.length ? devices : [{ id: "", name: text.noDevice }];
  const select = h("select", { class: "field__input", disabled: devices.length === 0 }, options.map(({ id, name }) => h("option", { value: id }, name)));
  if (options.some(({ id }) => id === chosen)) select.value = chosen;
  select.addEventListener("change", () => onChoose(select.value));
  return h("label", { class: "field" }, h("span", { class: "field__label" }, label), select);
}
