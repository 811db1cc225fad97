// What the call page and the studio have in common: the stage, the panel with the chat, the controls, the keys, the
// states of the connection. The pages add what is theirs through `overlayFor`, `controls` and the panel.

import { h, replace, banner, button, toast, announce, byId } from "./dom.js";
import { icon } from "./icons.js";
import { formatMoney, formatLength, formatUsed } from "./format.js";
import { Stage } from "./stage.js";
import { Sounds } from "./sounds.js";
import { Chat } from "./chat.js";
import { Panel } from "./panel.js";
import { Control, onKeys } from "./controls.js";
import { LineView } from "./signs.js";
import { LocalMedia } from "./localmedia.js";
import { chooseDevices, showHelp } from "./calldialogs.js";
import { call as text } from "./strings/call.en.js";

/** @typedef {import("./roomclient.js").RoomClient} RoomClient */
/** @typedef {import("./protocol.js").Notice} Notice */
/** @typedef {"connecting"|"waiting"|"connected"|"reconnecting"|"paused"|"ended"} CallState */
/** @typedef {{state: CallState, title?: string, note?: string, step?: string, icon?: string, busy?: boolean, actions?: HTMLElement[]}} Overlay */

/** What a page does by itself: its refusal is no news to anybody. */
const QUIET = new Set(["publish", "view"]);
const PHONE = matchMedia("(max-width: 47.99rem)");

export class CallView {
  /**
   * @param {object} options
   * @param {RoomClient} options.client
   * @param {"host"|"payer"} options.role
   * @param {() => Overlay} options.overlayFor what the page shows over the faces now
   * @param {Control[]} [options.extra] more controls, before "leave"
   * @param {() => void} [options.onLeave]
   * @param {() => Promise<{url: string}>} [options.makeLink] for going on on another device
   */
  constructor({ client, role, overlayFor, extra = [], onLeave = () => client.leave(), makeLink }) {
    this.client = client;
    this.media = client.media;
    this.role = role;
    this._overlayFor = overlayFor;
    this._makeLink = makeLink;
    this._overlayKey = "";
    this._unread = 0;
    this._sinkId = "";
    this._dismissed = false;
    this.stage = new Stage(byId("stage"), { selfLarge: role === "host" });
    this.lineView = new LineView(byId("line"));
    this.sounds = new Sounds();
    this.panel = new Panel(byId("panel"));
    this.chat = new Chat({ send: (words) => client.chat(words) });
    this.panel.add("chat", { title: text.chat, element: this.chat.element, scrolls: false, focus: () => this._focusChat() });
    this.banners = h("div", { class: "stage__banners", role: "status" });
    byId("stage").append(this.banners, this.sounds.element);
    this.microphone = new Control({ name: "microphone", onClick: () => this.toggle("microphone") });
    this.camera = new Control({ name: "camera", onClick: () => this.toggle("camera") });
    this.screen = new Control({ name: "screen", onClick: () => this.toggleScreen() });
    this.chatControl = new Control({ name: "chat", onClick: () => this.panel.toggle("chat") });
    this._makeControls(extra, onLeave);
    this._listen();
    this._keys();
    this.refresh();
  }

  // ---- controls

  /** @param {Control[]} extra @param {() => void} onLeave */
  _makeControls(extra, onLeave) {
    const devices = new Control({ name: "devices", onClick: () => this.devices() }).set({ icon: "devices", label: text.devices });
    const help = new Control({ name: "help", kind: "wide-only", onClick: () => this.help() }).set({ icon: "help", label: text.more });
    const leave = new Control({ name: "leave", kind: "leave", onClick: onLeave }).set({ icon: "leave", label: text.leave });
    const all = [this.microphone, this.camera, this.screen, this.chatControl, ...extra, devices, help, leave];
    replace(byId("controls"), all.map((control) => control.element));
  }

  /** @param {"microphone"|"camera"} source */
  async toggle(source) {
    if (!this.client.mayPublish) return;
    const on = await this.media.setOn(source, !this.media.isOn(source));
    this._dismissed = false;
    this.refresh();
    const words = source === "microphone" ? [text.microphoneOn, text.microphoneOff] : [text.cameraOn, text.cameraOff];
    announce(words[on ? 0 : 1]);
  }

  async toggleScreen() {
    if (this.media.track("screen")) this.media.stopScreen();
    else await this.media.startScreen();
  }

  devices() {
    chooseDevices({ media: this.media, mayPublish: this.client.mayPublish, makeLink: this._makeLink, sinkId: this._sinkId, setSink: (id) => {
      this._sinkId = id;
      this.sounds.setSink(id);
    } });
  }

  help() {
    showHelp({ timed: this.role === "payer" });
  }

  _keys() {
    onKeys({
      m: () => this.toggle("microphone"),
      v: () => this.toggle("camera"),
      c: () => this.panel.toggle("chat"),
      escape: () => this.panel.close(),
      "?": () => this.help(),
    });
  }

  // ---- what comes in

  _listen() {
    const on = (/** @type {string} */ type, /** @type {(detail: any) => void} */ handle) =>
      this.client.addEventListener(type, (event) => handle(/** @type {CustomEvent} */ (event).detail));
    for (const type of ["state", "media", "meter", "grants", "joined"]) on(type, () => this.refresh());
    for (const type of ["participants", "tracks"]) on(type, () => { this._playSounds(); this.refresh(); });
    on("link", (link) => this.stage.listen(link));
    on("line", (line) => this._line(line));
    on("reception", ({ state }) => this.stage.receives(state));
    on("speakers", (ids) => this.stage.speak(ids));
    on("chat", (message) => this.chat.message(message, message.participant_id === this.client.selfId));
    on("notice", (notice) => this.notice(notice));
    on("refused", (error) => { if (!QUIET.has(error.re)) toast(error.message || error.code, { kind: "danger" }); });
    this.media.addEventListener("change", () => this.refresh());
    this.stage.sizes.addEventListener("change", () => this.client.show(this.stage.sizes.all()));
    this.sounds.addEventListener("blocked", () => this.refresh());
    this.chat.addEventListener("line", () => this._lineAdded());
    this.panel.addEventListener("change", () => this._panelChanged());
    addEventListener("online", () => this.client.networkBack());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.client.networkBack(); });
    this._wakeLock();
  }

  /** Not on a phone: the keyboard would cover the half of what is to be read. */
  _focusChat() {
    (matchMedia("(pointer: coarse)").matches ? this.panel.heading : this.chat.input).focus();
  }

  _lineAdded() {
    if (this.panel.open === "chat") return;
    this._unread++;
    this._drawChatControl();
  }

  _panelChanged() {
    if (this.panel.open === "chat") {
      this._unread = 0;
      this.chat.scrollToEnd();
    }
    this._drawChatControl();
  }

  _drawChatControl() {
    this.chatControl.set({ icon: "chat", label: text.chat, open: this.panel.open === "chat", badge: this._unread });
  }

  /** A line for the chat; what concerns us now also as a toast. @param {Notice} notice */
  notice(notice) {
    const own = notice.participant_id !== undefined && notice.participant_id === this.client.selfId;
    const words = noticeText(notice, own);
    // To the host the news of the host's own coming and going is none.
    if (!words || (this.role === "host" && notice.kind.startsWith("host_"))) return;
    this.chat.notice(notice.kind, words, notice.sent_at);
    if (this._matters(notice.kind, own)) toast(words, { icon: notice.kind === "paid" ? "card" : undefined });
    if (own && notice.kind === "muted") this._wasMuted(notice.name);
  }

  /** Money for the host; the clock for who pays. @param {string} kind @param {boolean} own */
  _matters(kind, own) {
    if (this.role === "host") return kind === "paid" || kind === "extended";
    // That the host is away stands over the faces already.
    return kind === "host_back" || (own && kind === "extended");
  }

  /** The host took something of ours off the air; which, stands where other notices have a name. @param {string} [source] */
  async _wasMuted(source) {
    if (source === "screen") this.media.stopScreen();
    else if (source === "microphone" || source === "camera") await this.media.setOn(source, false);
    else return;
    toast(text.offByHost[source], { icon: source === "screen" ? "screen" : `${source}-off` });
  }

  /** @param {import("./line.js").Line|null} line */
  _line(line) {
    this.lineView.set(line);
    document.body.dataset.line = line ? `${line.state} ${line.side}` : "";
    this.refresh();
  }

  // ---- what is shown

  refresh() {
    const overlay = this._overlayFor();
    document.body.dataset.callState = overlay.state;
    document.body.dataset.sound = this.sounds.blocked ? "blocked" : "on";
    document.body.dataset.mayPublish = this.client.mayPublish ? "yes" : "no";
    this._drawOverlay(overlay);
    this._drawStage();
    this._drawControls();
    this._drawBanners(overlay.state);
    this._drawCount();
  }

  /** The host's own encoder is seen in the studio, and not heard: it comes back later than it was said. */
  _playSounds() {
    const encoders = this.client.participants.filter(({ via }) => via === "whip").map((person) => person.participant_id);
    this.sounds.show(this.client.tracks.filter((track) => this.role !== "host" || !encoders.includes(track.participant_id)));
  }

  _drawStage() {
    const conference = this.client.joined?.room.privacy === "conference";
    const others = this.client.participants.filter((person) => person.participant_id !== this.client.selfId);
    // While an encoder is the host's camera, a studio page that sends nothing has no face to show.
    const sends = (/** @type {string} */ id) => this.client.tracks.some((track) => track.participant_id === id);
    const encoder = others.some(({ via }) => via === "whip");
    const people = others.filter((person) => person.role === "host" ? person.via === "whip" || !encoder || sends(person.participant_id)
      : person.via !== "whep" && (!conference || person.publish));
    const sorted = people.sort((a, b) => Number(b.role === "host") - Number(a.role === "host"));
    this.stage.show({ people: sorted, tracks: this.client.tracks, self: {
      id: this.client.selfId, shown: this.client.mayPublish && this.client.selfId !== "", camera: this.media.track("camera"),
      cameraOn: this.media.isOn("camera"), microphoneOn: this.media.isOn("microphone"),
    } });
  }

  _drawControls() {
    const { mayPublish } = this.client;
    for (const control of [this.microphone, this.camera]) control.show(mayPublish);
    this.screen.show(mayPublish && LocalMedia.canShareScreen());
    const [mic, cam, screen] = [this.media.isOn("microphone"), this.media.isOn("camera"), this.media.track("screen") !== null];
    this.microphone.set({ icon: mic ? "microphone" : "microphone-off", label: mic ? text.microphoneOff : text.microphoneOn, off: !mic });
    this.camera.set({ icon: cam ? "camera" : "camera-off", label: cam ? text.cameraOff : text.cameraOn, off: !cam });
    this.screen.set({ icon: screen ? "stop" : "screen", label: screen ? text.screenStop : text.screenStart, off: screen });
    this._drawChatControl();
  }

  _drawCount() {
    const count = document.getElementById("people-count");
    const n = this.client.participants.filter(({ via }) => via !== "whip").length;
    if (count) count.textContent = n > 0 ? text.peopleCount(n) : "";
  }

  /** Redrawn only when it says something else: a status that is rebuilt is spoken again. @param {Overlay} overlay */
  _drawOverlay(overlay) {
    const key = JSON.stringify([overlay.state, overlay.title, overlay.note, overlay.step, overlay.actions?.length]);
    if (key === this._overlayKey) return;
    this._overlayKey = key;
    const element = this.stage.overlay;
    element.hidden = !overlay.title;
    element.dataset.kind = overlay.state;
    if (!overlay.title) return replace(element);
    replace(element, h("div", { class: "overlay", role: "status" },
      overlay.busy ? h("span", { class: "spinner spinner--large" }) : overlay.icon && icon(overlay.icon, { className: "icon--large" }),
      h("p", { class: "overlay__title" }, overlay.title),
      overlay.step && h("p", { class: "overlay__note", dataset: { step: overlay.state } }, overlay.step),
      overlay.note && h("p", { class: "overlay__note" }, overlay.note),
      overlay.actions?.length ? h("div", { class: "row overlay__actions" }, overlay.actions) : null));
  }

  /** @param {CallState} state */
  _drawBanners(state) {
    const wanted = state === "ended" ? [] : this._bannerKeys();
    const key = wanted.join(" ");
    if (this.banners.dataset.shown === key) return;
    this.banners.dataset.shown = key;
    replace(this.banners, wanted.map((name) => this._banner(name)));
  }

  _bannerKeys() {
    const keys = [];
    if (this.sounds.blocked) keys.push("sound");
    if (this.client.mayPublish && !this._dismissed && this._problem()) keys.push(`device:${this._problem()}`);
    if (document.body.dataset.line?.startsWith("poor")) keys.push(`poor:${this.media.isOn("camera")}`);
    if (this.media.track("screen")) keys.push("sharing");
    return keys;
  }

  /** "denied:both", "missing:camera", … or "" */
  _problem() {
    const { microphone, camera } = this.media.problems;
    const problem = microphone ?? camera;
    if (!problem) return "";
    const which = microphone && camera ? "both" : microphone ? "microphone" : "camera";
    return `${problem}:${which}`;
  }

  /** @param {string} key */
  _banner(key) {
    const [name, problem, which] = key.split(":");
    if (name === "sound") return this._soundBanner();
    if (name === "device") return this._deviceBanner(problem, which);
    if (name === "sharing") return banner("info", { icon: "screen", text: text.sharing, actions: [button(text.screenStop, { kind: "small", onClick: () => this.media.stopScreen() })] });
    const off = problem === "true" ? [button(text.poorLinkAction, { kind: "small", icon: "camera-off", onClick: () => this.toggle("camera") })] : [];
    return banner("warning", { icon: "network", title: text.poorLink, text: text.poorLinkNote, actions: off });
  }

  _soundBanner() {
    return h("div", { class: "tap" },
      button(text.tapForSound, { icon: "sound", kind: "primary", onClick: () => this.sounds.start() }),
      h("p", { class: "small muted" }, text.tapForSoundNote));
  }

  /** @param {string} problem @param {string} which */
  _deviceBanner(problem, which) {
    const words = /** @type {Record<string, any>} */ ({ denied: text.refused, missing: text.missing, busy: text.busy })[problem] ?? text.busy;
    const how = problem === "insecure" ? text.insecure : problem === "denied" && PHONE.matches ? words.howPhone : words.how;
    const again = button(text.tryAgain, { kind: "small", icon: "refresh", onClick: () => this.media.open() });
    const dismiss = button(text.dismiss, { kind: "small quiet", onClick: () => { this._dismissed = true; this.refresh(); } });
    return banner("warning", { icon: which === "microphone" ? "microphone-off" : "camera-off", title: words[which], text: how, actions: [again, dismiss] });
  }

  /** Keep the screen awake while the page is seen. */
  _wakeLock() {
    const ask = () => {
      if (!document.hidden) /** @type {any} */ (navigator).wakeLock?.request("screen").catch(() => undefined);
    };
    document.addEventListener("visibilitychange", ask);
    ask();
  }
}

/** @param {Notice} notice @param {boolean} own @returns {string} "" when there is nothing to say */
export function noticeText(notice, own) {
  const words = /** @type {Record<string, any>} */ (text.notices);
  const name = own ? text.you : notice.name || text.nameless;
  const length = notice.seconds ? formatLength(notice.seconds) : "";
  if (notice.kind === "extended" && own) return words.extendedSelf(length);
  // Without a source it is the right to speak that was taken; the page says that by itself.
  if (notice.kind === "muted" && own) return notice.name ? words.mutedSelf : text.grantTaken;
  if (notice.kind === "extended") return words.extended(name, length, notice.amount ? formatMoney(notice.amount) : "");
  if (notice.kind === "paid") return words.paid(name, notice.amount ? formatMoney(notice.amount) : "");
  if (notice.kind === "warning") {
    const left = formatLength(Math.round((notice.remaining_ms ?? 0) / 60_000) * 60);
    return own ? words.warning(left) : words.warningOf(name, left);
  }
  const found = words[notice.kind];
  return typeof found === "function" ? found(name) : found ?? "";
}

/**
 * The screen after the call.
 * @param {{title: string, note: string, code: string, facts: [string, string][], actions: (HTMLElement|null)[]}} content
 */
export function showEnding({ title, note, code, facts, actions }) {
  document.body.dataset.endCode = code;
  const heading = h("h1", { tabindex: -1 }, title);
  const ending = h("section", { class: "ending", id: "ending" }, icon(ENDING_ICONS[code] ?? "door", { className: "icon--large" }), heading, h("p", { class: "large muted" }, note),
    facts.length > 0 && h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))),
    h("div", { class: "row ending__actions" }, actions));
  document.getElementById("ending")?.remove();
  byId("main").append(ending);
  heading.focus();
}

/** @type {Record<string, string>} */
const ENDING_ICONS = { used_up: "clock", pass_used_up: "clock", left: "door", replaced: "devices", kicked: "remove", room_locked: "lock", room_full: "people", refunded: "receipt", media_failed: "offline" };

/** @param {import("./protocol.js").Ended} ended @returns {[string, string][]} */
export function endingFacts({ used_ms: usedMs, charged, refund }) {
  /** @type {[string, string][]} */
  const facts = [];
  if (usedMs !== null && usedMs !== undefined) facts.push([text.used, formatUsed(usedMs)]);
  if (charged) facts.push([text.charged, formatMoney(charged)]);
  if (refund && refund.amount_minor > 0) facts.push([text.refund, formatMoney(refund)]);
  return facts;
}

/** The call is on the page again, after "go back in". */
export function hideEnding() {
  document.getElementById("ending")?.remove();
  delete document.body.dataset.endCode;
}
