// The payer's call: /r/{slug}/call.

import { byId, button, dataBlock, linkButton, toast } from "./dom.js";
import { getOrder, getWallet, makeLink, orderToken, pageInMode, setWait } from "./api.js";
import { currentOrder } from "./orders.js";
import { formatClock, formatLength, formatMoney } from "./format.js";
import { RoomClient } from "./roomclient.js";
import { LocalMedia } from "./localmedia.js";
import { CallView, endingFacts, hideEnding, showEnding } from "./callview.js";
import { MeterView } from "./meter.js";
import { AddTime } from "./addtime.js";
import { askToSpeak } from "./calldialogs.js";
import { isRefundable } from "./cardstate.js";
import { CreditsPanel, creditFacts } from "./credits.js";
import { BankPanel, UsePanel, costOf, failureText, fundedText, goesFurther, untilSettled, useFacts } from "./usepanel.js";
import { call as text } from "./strings/call.en.js";
import { credits } from "./strings/credits.en.js";
import { errorText } from "./strings/en.js";

/** @typedef {import("./callview.js").Overlay} Overlay */
/** @typedef {import("./protocol.js").Ended} Ended */

const creditWords = credits.call;
/** Endings after which the same pass may go in again, by a press of a button. */
const BACK_IN = new Set(["left", "replaced", "room_full", "room_locked", "media_failed", "bad_token", "protocol_error", "unknown", "connection_lost"]);
/** Endings that settle a call that is paid for by use. @type {Record<string, string[]>} */
const USE_ENDS = { left: text.use.left, used_up: text.use.usedUp, host_ended: text.use.hostEnded, kicked: text.ended.kicked, revoked: text.ended.revoked };
/** Where they differ, of a call that ran on credits. @type {Record<string, string[]>} */
const CREDIT_ENDS = { left: creditWords.leftNote, used_up: creditWords.usedUpNote, host_ended: creditWords.hostEndedNote };
const PAY_AGAIN = new Set(["used_up", "pass_used_up", "refunded", "revoked", "kicked"]);

class CallPage {
  /** @param {import("./api.js").Card} card @param {import("./orders.js").OrderKey} order */
  constructor(card, order) {
    this.card = card;
    this.order = order;
    /** What is known of it: does it wait for the host, is there something to give back. @type {import("./api.js").Order|null} */
    this.bought = null;
    /** @type {Ended|null} */
    this.over = null;
    this.media = new LocalMedia();
    this.client = new RoomClient({ media: this.media, getToken: () => orderToken(order.order_id, order.secret) });
    /** Of a room where use is paid for, by card or from credits. @type {import("./api.js").MeteredTariff | import("./api.js").WalletTariff | null} */
    this.byUse = card.tariff.kind === "metered" || card.tariff.kind === "wallet" ? card.tariff : null;
    const { byUse } = this;
    this.meter = new MeterView({ onAddTime: () => this.addTime(), costOf: byUse && ((usedMs) => formatMoney(costOf(byUse, usedMs))),
      ...(byUse?.kind === "wallet" ? { lastMinute: creditWords.lastMinute } : {}) });
    byId("top-meter").replaceChildren(this.meter.element);
    this.view = new CallView({ client: this.client, role: "payer", overlayFor: () => this.overlay(), makeLink: () => makeLink(order.order_id, order.secret) });
    this.payment = new AddTime({ card, pass: order, sandbox: card.mode === "sandbox", name: () => this.ownName, onDone: () => this.view.panel.close() });
    this.view.panel.add("pay", { title: text.pay.title, element: this.payment.element, closed: () => this.payment.close() });
    if (byUse?.kind === "metered") this.addUse(byUse);
    if (byUse?.kind === "wallet") this.addCredits(byUse);
    this.listen();
  }

  /** @param {import("./api.js").MeteredTariff} tariff */
  addUse(tariff) {
    const { order } = this;
    this.use = new UsePanel({ tariff, order, leftMs: () => this.meter.leftMs, changed: (bought) => this.know(bought) });
    this.bank = new BankPanel({ order, onDone: () => this.view.panel.close() });
    this.view.panel.add("use", { title: text.use.title, element: this.use.element });
    this.view.panel.add("bank", { title: text.use.bankTitle, element: this.bank.element, closed: () => this.bank?.close() });
  }

  /** @param {import("./api.js").WalletTariff} tariff */
  addCredits(tariff) {
    this.credits = new CreditsPanel({ tariff, sandbox: this.card.mode === "sandbox", leftMs: () => this.meter.leftMs, changed: () => this.creditsChanged() });
    this.view.panel.add("credits", { title: creditWords.title, element: this.credits.element, closed: () => this.credits?.close() });
    this.credits.load();
  }

  creditsChanged() {
    this.meter.endsHere = this.credits?.endsHere ?? false;
  }

  listen() {
    const on = (/** @type {string} */ type, /** @type {(detail: any) => void} */ handle) =>
      this.client.addEventListener(type, (event) => handle(/** @type {CustomEvent} */ (event).detail));
    on("meter", (meter) => { this.meter.set(meter); this.view.refresh(); });
    on("grants", ({ publish }) => this.granted(publish));
    on("notice", (notice) => this.noticed(notice));
    on("ended", (ended) => this.ended(ended));
  }

  start() {
    this.over = null;
    // Where everyone speaks, camera and microphone open while the way in is being made.
    if (this.card.privacy === "confidential") this.media.open();
    this.client.start();
    this.view.refresh();
    this.ask();
  }

  /** What the overlay says of money; without an answer it says nothing. */
  async ask() {
    this.know(await getOrder(this.order.order_id, this.order.secret).catch(() => this.bought));
  }

  /** @param {import("./api.js").Order|null} bought */
  know(bought) {
    this.bought = bought;
    this.meter.setWhole(bought?.pass?.granted_ms);
    this.use?.set(bought?.use);
    if (this.byUse?.kind === "metered") this.meter.endsHere = !goesFurther(bought?.use, this.byUse);
    this.view.refresh();
  }

  addTime() {
    if (this.credits) {
      this.credits.draw();
      this.view.panel.toggle("credits");
      return;
    }
    if (this.use) {
      this.use.draw();
      this.view.panel.toggle("use");
      return;
    }
    this.payment.open();
    this.view.panel.show("pay");
  }

  /** @param {import("./protocol.js").Notice} notice */
  noticed(notice) {
    if (notice.kind === "warning") toast(text.notices.warning(formatLength(Math.round((notice.remaining_ms ?? 0) / 60_000) * 60)), { icon: "clock", duration_ms: 8_000 });
    if (notice.kind === "host_away") this.ask();
    if (notice.kind === "lapsing") toast(text.notices.lapsing(formatLength(notice.seconds ?? 0)), { kind: "danger", icon: "warning", duration_ms: 20_000 });
    if (notice.kind === "action_needed") this.askBank(notice);
    if (notice.balance) this.balanced(notice, notice.balance.amount_minor);
    else if (notice.kind === "funded" || notice.kind === "funding_failed") this.funded(notice);
  }

  /** @param {import("./protocol.js").Notice} notice */
  askBank(notice) {
    this.view.panel.show("bank");
    this.bank?.ask(notice);
  }

  /** Credits were held, bought, or run low. @param {import("./protocol.js").Notice} notice @param {number} minor */
  balanced(notice, minor) {
    this.credits?.setBalance(minor);
    document.body.dataset.funding = notice.kind;
    if (notice.kind !== "balance_low") return;
    const left = Math.floor((this.meter.leftMs ?? 0) / 1000) + (notice.seconds ?? 0);
    toast(creditWords.low(formatLength(left)), { icon: "clock", duration_ms: 10_000 });
  }

  /** What became of the next hold. @param {import("./protocol.js").Notice} notice */
  funded(notice) {
    if (this.view.panel.open === "bank") this.view.panel.close();
    const failed = notice.kind === "funding_failed";
    // Who did not agree, or has had the longest call, is told by the clock alone.
    const quiet = notice.failure === "not_agreed" || notice.failure === "at_the_end";
    if (failed && !quiet) toast(text.use.fundingFailed(failureText(notice.failure)), { kind: "danger", duration_ms: 10_000 });
    if (!failed) toast(fundedText(notice.seconds), { icon: "check" });
    document.body.dataset.funding = failed ? notice.failure ?? "failed" : "funded";
    this.ask();
  }

  /** In a conference the host lets one speak: asked then, not before. @param {boolean} publish */
  async granted(publish) {
    if (this.card.privacy === "confidential") return;
    if (!publish) {
      const spoke = this.media.tracks().size > 0;
      this.media.close();
      if (spoke) toast(text.grantTaken, { icon: "microphone-off" });
      return;
    }
    const wish = await askToSpeak();
    if (!wish || !this.client.mayPublish) return;
    Object.assign(this.media.choice, wish);
    await this.media.open(wish);
  }

  /** As the room knows us; also on a device that was not the one that paid. */
  get ownName() {
    return this.client.participants.find((person) => person.participant_id === this.client.selfId)?.name ?? "";
  }

  // ---- states

  /** @returns {Overlay} */
  overlay() {
    const { client } = this;
    if (this.over) return { state: "ended" };
    if (client.connection.state === "reconnecting") return { state: "reconnecting", title: text.reconnecting, note: text.reconnectingNote, busy: true };
    if (client.connection.state !== "connected") return connecting(client.step || "token");
    if (client.meter?.reason === "host_away") return this.hostAway(client.meter.state === "waiting");
    if (client.mediaState === "disconnected" || client.mediaState === "failed") return { state: "reconnecting", title: text.reconnecting, note: text.reconnectingNote, busy: true };
    if (client.mediaState !== "connected") return connecting("media");
    return this.paused();
  }

  /** @param {boolean} before the first second @returns {Overlay} */
  hostAway(before) {
    const title = before ? text.waitingHost(this.card.host_name || text.host) : text.pausedHost;
    return { state: before ? "waiting" : "paused", title, note: this.hostAwayNote(before), icon: before ? "clock" : "pause", actions: this.hostAwayActions(before) };
  }

  /** @param {boolean} before */
  hostAwayNote(before) {
    if (this.byUse) return text.use.hostAway;
    if (!this.refundable(before)) return this.client.meter?.remaining_ms === null ? text.pausedHostUnlimited : text.pausedNote;
    if (this.bought?.waits) return text.keptTime;
    return before && this.bought?.pass?.used_ms === 0 ? text.waitingHostNote : text.pausedHostNote;
  }

  /** Would something go back if the host stayed away? What this stay has used is not yet in the order that was asked for. @param {boolean} before */
  refundable(before) {
    const left = this.client.meter?.remaining_ms ?? null;
    return left === null ? before && isRefundable(this.bought) : left > 0;
  }

  /** Then the payer decides. @param {boolean} before */
  hostAwayActions(before) {
    if (!this.bought || this.byUse || !this.refundable(before)) return [];
    const waits = this.bought.waits === true;
    return [button(waits ? text.refundInstead : text.keepTime, { kind: "small", onClick: () => this.keepTime(!waits) })];
  }

  /** @returns {Overlay} */
  paused() {
    const { state, reason } = /** @type {import("./protocol.js").MeterInfo} */ (this.client.meter ?? { state: "counting" });
    if (state === "holding") return { state: "paused", title: text.holding, busy: true };
    if (state !== "paused") return { state: "connected" };
    return { state: "paused", title: reason === "payer_away" ? text.pausedAway : text.pausedServer, note: text.pausedNote, icon: "pause" };
  }

  /** @param {boolean} wait */
  async keepTime(wait) {
    try {
      this.bought = await setWait(this.order.order_id, this.order.secret, wait);
    } catch (error) {
      toast(errorText(error), { kind: "danger" });
    }
    this.view.refresh();
  }

  // ---- the end

  /** @param {Ended} ended */
  ended(ended) {
    this.over = ended;
    const left = this.meter.leftMs;
    this.media.close();
    this.view.panel.close();
    this.view.refresh();
    const known = ended.code in text.ended ? ended.code : "unknown";
    const code = known === "pass_used_up" && this.card.tariff.kind === "subscription" ? "lapsed" : known;
    const words = (this.credits && CREDIT_ENDS[code]) || USE_ENDS[code];
    if (this.byUse && words) { this.settled(ended, words); return; }
    const [title, note] = /** @type {Record<string, string[]>} */ (text.ended)[code];
    const stays = left !== null && left > 0 && ["left", "replaced", "room_full", "room_locked"].includes(code);
    showEnding({ title, note, code: ended.code, actions: this.ways(code),
      facts: [...endingFacts(ended), ...(stays ? [/** @type {[string, string]} */ ([text.meter.counting, formatClock(left)])] : [])] });
  }

  /** The end of a call that is paid for by use: what was charged of the hold, as soon as it is known. @param {Ended} ended @param {string[]} words */
  async settled(ended, [title, note]) {
    const actions = () => [linkButton(text.roomPage, `/r/${encodeURIComponent(this.card.slug)}`, { kind: "primary" }), this.receipt()];
    const facts = endingFacts({ ...ended, charged: null, refund: null });
    showEnding({ title, note: this.credits ? creditWords.settling : text.use.settling, code: ended.code, facts, actions: actions() });
    const use = await untilSettled(this.order);
    const wallet = this.credits && use ? await getWallet(this.card.currency).catch(() => null) : null;
    if (this.over !== ended) return;
    const known = !use ? [] : this.credits ? creditFacts(use, wallet, this.card.currency) : useFacts(use, this.card.currency);
    if (use) document.body.dataset.settled = "true";
    showEnding({ title, note: use ? note : text.use.settleLater, code: ended.code, facts: [...facts, ...known], actions: actions() });
  }

  receipt() {
    return linkButton(text.receipt, `/orders/${encodeURIComponent(this.order.order_id)}`, { icon: "receipt" });
  }

  /** @param {string} code */
  ways(code) {
    const page = `/r/${encodeURIComponent(this.card.slug)}`;
    const receipt = this.receipt();
    if (code === "lapsed") return [linkButton(text.yourPage, pageInMode("/me"), { kind: "primary" }), button(text.goBack, { onClick: () => this.again() })];
    if (code === "replaced") return [button(text.useHere, { kind: "primary", onClick: () => this.again() }), receipt];
    if (BACK_IN.has(code)) return [button(text.goBack, { kind: "primary", onClick: () => this.again() }), receipt];
    if (code === "not_paid") return [linkButton(text.roomPage, page, { kind: "primary" })];
    return [linkButton(PAY_AGAIN.has(code) ? text.payAgain : text.roomPage, page, { kind: "primary" }), receipt];
  }

  again() {
    hideEnding();
    this.start();
  }
}

/** @param {string} step @returns {Overlay} */
function connecting(step) {
  const steps = /** @type {Record<string, string>} */ (text.steps);
  return { state: "connecting", title: text.connecting, step: `${steps[step] ?? steps.server}…`, busy: true };
}

function main() {
  const card = dataBlock("card-data");
  const order = currentOrder(card.slug);
  if (order) return new CallPage(card, order).start();
  document.body.dataset.callState = "ended";
  const [title, note] = text.ended.no_order;
  showEnding({ title, note, code: "no_order", facts: [], actions: [linkButton(text.roomPage, `/r/${encodeURIComponent(card.slug)}`, { kind: "primary" })] });
}

main();
