// The host's studio: /host/{room_id}#key=…, or without a key for the room's signed-in owner. Preview and "Go live" first, then the call with the list of payers.

import { badge, button, byId, copyBox, h, linkButton, openDialog, replace } from "./dom.js";
import { icon } from "./icons.js";
import { canSignIn, getHostRoom, hostToken, keepRoom, mayBeSignedIn, pageInMode, qrUrl, roomStreamKey, signInUrl, whoAmI } from "./api.js";
import { takeFragment } from "./orders.js";
import { devicePreview } from "./devices.js";
import { formatMoney } from "./format.js";
import { RoomClient } from "./roomclient.js";
import { LocalMedia } from "./localmedia.js";
import { CallView, endingFacts, hideEnding, showEnding } from "./callview.js";
import { Control } from "./controls.js";
import { Roster, choices } from "./roster.js";
import { keepPanel } from "./keeping.js";
import { streamPanel } from "./streamkey.js";
import { forget, hostKey, rememberLive, wasLive } from "./hostkeys.js";
import { call as callText, studio as text } from "./strings/call.en.js";
import { en } from "./strings/en.js";

/** @typedef {import("./callview.js").Overlay} Overlay */
/** @typedef {import("./protocol.js").Ended} Ended */
/** @typedef {{gross: any, refunded: any, net: any, payers: number}} Earnings */
/** @typedef {{card: import("./api.js").Card, share_url: string, earnings: Earnings, checklist: {code: string, message: string}[], owned: boolean}} HostRoom */

class Studio {
  /** @param {string} roomId @param {string | null} key null: it is the signed-in owner who hosts @param {HostRoom} room @param {import("./api.js").Me | null} me who is signed in */
  constructor(roomId, key, room, me) {
    this.roomId = roomId;
    this.key = key;
    this.me = me;
    this.room = room;
    this.byLink = key !== null;
    /** @type {Ended|null} */
    this.over = null;
    this.locked = false;
    this.earnings = room.earnings;
    this.checks = h("ul", { class: "checklist" });
    this.why = h("p", { class: "small muted", role: "status" }, text.goLiveNote);
    this.go = button(text.goLive, { kind: "primary wide", icon: "play", "data-action": "go-live", disabled: true, onClick: () => this.goLive() });
    this.share = sharePanel(room);
    this.streamKey = (/** @type {"GET"|"POST"|"DELETE"} */ method) => roomStreamKey(method, roomId, key);
    this.holder = h("div");
    this.preview = this.makePreview();
    this.media = new LocalMedia();
    this.client = new RoomClient({ media: this.media, getToken: () => hostToken(roomId, key) });
    this.roster = new Roster({
      mute: (id) => this.client.mute(id, "microphone"),
      grant: (id, publish) => this.client.grant(id, publish),
      kick: (id, refund) => this.client.kick(id, refund),
    }, { byUse: ["metered", "wallet"].includes(room.card.tariff.kind) });
    this.people = new Control({ name: "people", onClick: () => this.view.panel.toggle("people") });
    this.lock = new Control({ name: "lock", onClick: () => this.client.lock(!this.locked) });
    this.view = new CallView({ client: this.client, role: "host", overlayFor: () => this.overlay(), extra: [this.people, this.lock],
      onLeave: () => this.askLeave() });
    this.makePeoplePanel();
    this.listen();
    this.drawTop(room.earnings);
    this.drawLock(room.card.state === "locked");
  }

  makePeoplePanel() {
    const element = h("div", { class: "people stack" }, this.roster.element, this.share, streamPanel(en.stream.host, this.streamKey));
    this.view.panel.add("people", { title: text.rosterTitle, element });
    this.view.panel.addEventListener("change", () => this.drawPeople());
    this.drawPeople();
  }

  listen() {
    const on = (/** @type {string} */ type, /** @type {(detail: any) => void} */ handle) =>
      this.client.addEventListener(type, (event) => handle(/** @type {CustomEvent} */ (event).detail));
    on("joined", (joined) => this.drawLock(joined.room.locked));
    on("participants", (people) => this.participants(people));
    on("earnings", (earnings) => this.drawTop(earnings));
    on("link", ({ qualities }) => this.roster.setQualities(qualities));
    on("speakers", (ids) => this.roster.speak(ids));
    on("publishing", () => this.view.refresh());
    on("notice", ({ kind }) => { if (kind === "locked" || kind === "unlocked") this.drawLock(kind === "locked"); });
    on("ended", (ended) => this.ended(ended));
  }

  // ---- before

  prepare() {
    document.body.dataset.callState = "before";
    this.go.disabled = true;
    const back = wasLive(this.roomId);
    const before = h("section", { class: "prelive", id: "prelive" },
      h("div", { class: "prelive__head" }, h("p", { class: "prelive__kicker" }, text.title),
        h("h1", null, back ? text.backTitle : text.beforeTitle(this.room.card.title)), back && h("p", { class: "large muted" }, text.back)),
      h("div", { class: "prelive__preview" }, this.holder),
      h("div", { class: "prelive__side stack" }, h("div", { class: "prelive__go stack stack--tight" }, this.go, this.why), this.checklist(), h("hr"), sharePanel(this.room), this.encoderPanel(),
        this.keepPanel(), this.byLink && h("p", { class: "small muted prelive__key" }, icon("key"), h("span", null, text.privateKey))));
    document.getElementById("prelive")?.remove();
    byId("main").append(before);
    this.preview.open();
  }

  /** A preview was released when the host went live, so that each time before is a new one. */
  makePreview() {
    return devicePreview(this.holder, { onChange: (stream) => this.ready(stream) });
  }

  /** A room that was opened without an account, and somebody with the host link is signed in now. */
  keepPanel() {
    const { key, me, room } = this;
    if (!key || !me || room.owned) return null;
    const take = async () => {
      await keepRoom(this.roomId, key);
      room.owned = true;
    };
    return keepPanel({ title: text.keepTitle, text: text.keepText(me.name), action: text.keep, done: text.kept, href: pageInMode("/me/rooms") }, take);
  }

  /** Going live from an encoder: then this page needs no camera of its own. */
  encoderPanel() {
    const panel = streamPanel(en.stream.host, this.streamKey);
    panel.append(button(en.stream.withoutCamera, { kind: "small quiet", icon: "arrow-right", "data-action": "no-camera", onClick: () => this.enter(null) }));
    return panel;
  }

  /** What may be wrong, said before it matters. Filled again when the devices change. */
  checklist() {
    this.drawChecks(null);
    return h("div", { class: "stack stack--tight" }, h("h2", { class: "prelive__h" }, text.checklist), this.checks);
  }

  /** @param {MediaStream|null} stream */
  drawChecks(stream) {
    const [picture, sound] = [stream?.getVideoTracks().length, stream?.getAudioTracks().length];
    /** @type {[string, string][]} */
    const own = picture && sound ? [["check-circle", text.checks.ready]] : !picture && !sound ? [["warning", text.checks.nothing]]
      : [["warning", picture ? text.checks.no_microphone : text.checks.no_camera]];
    const theirs = this.room.checklist.map(({ code, message }) => /** @type {[string, string]} */ ([code === "sandbox" || code === "test_room" ? "flask" : "warning", /** @type {Record<string, string>} */ (text.checks)[code] ?? message]));
    replace(this.checks, [...(stream ? own : []), ...theirs].map(([name, words]) => h("li", { dataset: { kind: name } }, icon(name), h("span", null, words))));
  }

  /** @param {MediaStream|null} stream */
  ready(stream) {
    const any = (stream?.getTracks().length ?? 0) > 0;
    this.go.disabled = !any;
    this.why.textContent = any ? text.goLiveNote : text.nothingOn;
    this.drawChecks(stream ?? new MediaStream());
  }

  goLive() {
    // Released, not destroyed: the tracks go on, in the call.
    const stream = this.preview.release();
    Object.assign(this.media.choice, this.preview.choice);
    this.enter(stream);
  }

  /** @param {MediaStream|null} stream what is sent from here; without one an encoder sends, or nobody yet */
  enter(stream) {
    if (stream) this.media.adopt(stream);
    else this.preview.destroy();
    byId("prelive").remove();
    this.over = null;
    this.client.start();
    this.view.refresh();
    if (matchMedia("(min-width: 64rem)").matches) this.view.panel.show("people", { focus: false });
    byId("main").focus();
  }

  // ---- live

  /** @returns {Overlay} */
  overlay() {
    const { client } = this;
    if (this.over) return { state: "ended" };
    const connection = client.connection.state;
    if (connection === "idle") return { state: "connecting" };
    const lost = connection === "reconnecting" || client.publishState === "disconnected" || client.publishState === "failed";
    if (lost) return { state: "reconnecting", title: callText.reconnecting, busy: true };
    if (connection !== "connected") return going(client.step || "token");
    const publishing = this.media.tracks().size > 0;
    if (publishing && client.publishState !== "connected") return going("media");
    if (publishing) rememberLive(this.roomId);
    return { state: "connected" };
  }

  /** @param {import("./protocol.js").Participant[]} people */
  participants(people) {
    this.roster.show(people.filter((person) => person.role === "payer"), this.client.joined?.room.privacy === "conference");
    this.roster.speak(this.client.speakers);
    this.share.open = this.roster.count === 0;
    this.drawPeople();
    this.drawTop();
  }

  drawPeople() {
    const count = this.roster.count;
    this.people.set({ icon: "people", label: text.rosterTitle, open: this.view.panel.open === "people" });
    this.people.element.dataset.count = String(count);
  }

  /** @param {boolean} locked */
  drawLock(locked) {
    this.locked = locked;
    document.body.dataset.locked = locked ? "yes" : "no";
    replace(byId("room-locked"), locked && h("span", { class: "call__locked" }, icon("lock"), text.locked));
    this.lock.set({ icon: locked ? "lock" : "unlock", label: locked ? text.unlock : text.lock, off: locked });
    this.drawTop();
  }

  /** @param {Earnings} [earnings] */
  drawTop(earnings = this.earnings) {
    this.earnings = earnings;
    const { currency } = this.room.card;
    const live = this.client.connection.state === "connected";
    const [gross, refunded, net] = [earnings.gross, earnings.refunded, earnings.net].map((one) => money(one, currency));
    const fees = { amount_minor: gross.amount_minor - refunded.amount_minor - net.amount_minor, currency };
    replace(byId("top-meter"), h("div", { class: "earned" },
      live ? badge("live", text.live) : badge("", text.notLive),
      h("dl", { class: "earned__sum" }, h("dt", { class: "small muted" }, text.earnings),
        h("dd", { class: "earned__amount numbers", dataset: { earnings: "net" } }, formatMoney(net),
          fees.amount_minor > 0 && h("span", { class: "small muted" }, ` ${text.earningsFees(formatMoney(gross), formatMoney(fees))}`),
          refunded.amount_minor > 0 && h("span", { class: "small muted" }, ` ${text.earningsRefunded(formatMoney(refunded))}`)))));
  }

  // ---- leaving

  async askLeave() {
    const way = choices("leave", [["step_out", text.stepOut, text.stepOutNote], ["end_refund", text.endRefund, text.endRefundNote], ["end_keep", text.endKeep, text.endKeepNote]]);
    const { closed, element } = openDialog({ title: text.endTitle, body: way.element,
      actions: [{ text: text.cancel, value: "", kind: "quiet" }, { text: text.stepOut, value: "go", kind: "danger", icon: "leave" }] });
    const go = /** @type {HTMLElement} */ (element.querySelector(".button--danger span"));
    way.element.addEventListener("change", () => { go.textContent = way.value() === "step_out" ? text.stepOut : text.endGo; });
    if ((await closed) !== "go") return;
    if (way.value() === "step_out") this.client.leave();
    else if (!this.client.closeRoom(way.value() === "end_refund")) this.client.leave();
  }

  /** @param {Ended} ended */
  ended(ended) {
    this.over = ended;
    if (ended.code === "left" || ended.code === "host_ended") forget(this.roomId);
    this.media.close();
    this.view.panel.close();
    this.view.refresh();
    this.drawTop();
    const signedOut = ended.code === "bad_host_key" && !this.byLink;
    const known = { ...callText.ended, ...text.ended, ...(signedOut ? { bad_host_key: text.signedOut } : {}) };
    const [title, note] = /** @type {Record<string, string[]>} */ (known)[ended.code] ?? callText.ended.unknown;
    const closed = ended.code === "host_ended" || ended.code === "room_closed";
    const next = signedOut ? signInLink() : closed ? linkButton(text.newRoom, "/", { kind: "primary", icon: "plus" })
      : button(ended.code === "replaced" ? callText.useHere : text.goLiveAgain, { kind: "primary", icon: "play", onClick: () => { hideEnding(); this.again(); } });
    showEnding({ title, note, code: ended.code, facts: endingFacts({ code: ended.code, refund: ended.refund }), actions: [next] });
  }

  again() {
    this.over = null;
    this.preview = this.makePreview();
    this.prepare();
  }
}

/** @param {string} step @returns {Overlay} */
function going(step) {
  const steps = /** @type {Record<string, string>} */ (callText.steps);
  return { state: "connecting", title: text.goingLive, step: step === "token" ? "" : `${steps[step] ?? steps.server}…`, busy: true };
}

/** @param {any} value Money or minor units @param {string} currency */
function money(value, currency) {
  return typeof value === "object" && value !== null ? value : { amount_minor: Number(value ?? 0), currency };
}

/** @param {HostRoom} room @returns {HTMLDetailsElement} */
function sharePanel({ card, share_url: url }) {
  return h("details", { class: "share", open: true },
    h("summary", null, icon("share"), h("span", null, text.shareTitle)),
    h("div", { class: "stack stack--tight" },
      h("p", { class: "small muted" }, text.shareNote),
      copyBox(url, { label: text.shareLabel, copy: text.copy, copied: text.copied }),
      h("img", { class: "share__qr", src: qrUrl(card.slug), alt: text.qrAlt, width: 160, height: 160 })));
}

/** @param {string} title @param {string} note @param {string} code @param {HTMLElement[]} actions */
function cannot(title, note, code, actions = []) {
  document.body.dataset.callState = "ended";
  showEnding({ title, note, code, facts: [], actions });
}

/**
 * The room, and the key that opened it: null when it was opened as its owner's. A key that was kept here may be older than the room's.
 * @param {string} roomId @param {string | null} key @returns {Promise<{room: HostRoom, by: string | null}>}
 */
async function openRoom(roomId, key) {
  try {
    if (key) return { room: await getHostRoom(roomId, key), by: key };
  } catch (error) {
    if (/** @type {import("./api.js").ApiError} */ (error).code !== "bad_host_key" || !mayBeSignedIn()) throw error;
  }
  return { room: await getHostRoom(roomId, null), by: null };
}

const signInLink = () => linkButton(text.signIn, signInUrl(), { kind: "primary", icon: "arrow-right" });

async function noKey() {
  if (!canSignIn()) return cannot(text.noKeyTitle, text.onlyKey, "no_key");
  const me = await whoAmI().catch(() => null);
  cannot(text.noKeyTitle, me ? text.notYours : text.noKey, "no_key", me ? [] : [signInLink()]);
}

async function main() {
  const roomId = decodeURIComponent(location.pathname.split("/")[2] ?? "");
  const key = hostKey(roomId, takeFragment("key"));
  if (!key && !mayBeSignedIn()) return noKey();
  try {
    const { room, by } = await openRoom(roomId, key);
    document.title = `${room.card.title} · ${text.title}`;
    byId("room-title").textContent = room.card.title;
    if (room.card.state === "closed") return cannot(text.ended.room_closed[0], text.ended.room_closed[1], "room_closed", [linkButton(text.newRoom, "/", { kind: "primary" })]);
    new Studio(roomId, by, room, await whoAmI().catch(() => null)).prepare();
  } catch (error) {
    if (!key && /** @type {import("./api.js").ApiError} */ (error).code === "bad_host_key") return noKey();
    failed(/** @type {import("./api.js").ApiError} */ (error));
  }
}

/** @param {import("./api.js").ApiError} error */
function failed({ code, message }) {
  const again = button(en.tryAgain, { kind: "primary", icon: "refresh", onClick: () => location.reload() });
  if (code === "bad_host_key") return cannot(callText.ended.bad_host_key[0], callText.ended.bad_host_key[1], code);
  cannot(text.loadFailed, en.errors[code] ?? message, code ?? "unknown", [again]);
}

main();
