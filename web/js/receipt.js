/** The receipt, which is also the way back from payment and the door for "continue on another device". */

import { banner, button, byId, h, linkButton, replace, badge, setBusy } from "./dom.js";
import { keepPanel } from "./keeping.js";
import { icon } from "./icons.js";
import { canSignIn, getCard, getReceipt, keepOrder, makeLink, mayBeSignedIn, orderStreamKey, pageInMode, refreshOrder, setWait, signInUrl, whoAmI } from "./api.js";
import { isUnserved, isUnsettled, opensRoom, pollDelay } from "./cardstate.js";
import { formatClock, formatDateTime, formatLength, formatMoney, formatShortDateTime, formatTime, formatUsed, wholeParts } from "./format.js";
import { deviceLink } from "./otherdevice.js";
import { saveOrder, secretOf, storedOrder, takeFragment } from "./orders.js";
import { takeOrder } from "./takeorder.js";
import { streamPanel } from "./streamkey.js";
import { en, errorText } from "./strings/en.js";

/** @typedef {import("./api.js").Card} Card */
/** @typedef {import("./api.js").Order} Order */
/** @typedef {import("./format.js").Money} Money */
/**
 * @typedef {{order_id: string, state: string, room: {slug: string | null, title: string, description: string, host_name: string}, name: string, price: Money,
 *   seconds: number | null, computation: {rate_minor_per_min?: number, seconds: number | null, amount_minor: number}, use?: import("./api.js").Use | null, terms_url: string | null,
 *   terms_accepted_at: string | null, paid_at: string | null, payment_reference: string | null, mode: string, pass: import("./api.js").Pass | null,
 *   stays: {started_at: string, ended_at: string | null, used_ms: number, pauses_ms: number, end_code: string | null}[],
 *   refunds: (Money & {reason: string, state: string, created_at: string})[], purpose: string, funding: string, list: Money | null, discount: Money,
 *   fee_on_top: Money, tax: Money, lost: Money, total: Money, invoices: (Money & {invoice_id: string, created_at: string})[]}} Receipt
 */

const t = en.receipt;
/** How long the way back waits for the payment service before it shows what it knows. */
const RETURN_POLLS = 8;

const root = byId("receipt-page");
const order_id = decodeURIComponent(location.pathname.split("/").filter(Boolean).pop() ?? "");

/** @param {number} ms */
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function start() {
  const given = takeFragment("secret");
  if (given) saveOrder({ order_id, secret: given }, storedOrder(order_id)?.slug ?? null);
  const secret = secretOf(order_id);
  if (!secret && !mayBeSignedIn()) { showNoSecret(); return; }
  try {
    await open(secret, { arrived: Boolean(given), returning: new URLSearchParams(location.search).has("return") });
  } catch (error) {
    showRefusal(error);
  }
}

/** @param {string | null} secret null: the order of who is signed in @param {{arrived: boolean, returning: boolean}} how */
async function open(secret, { arrived, returning }) {
  if (returning) showWaiting(t.checking, t.checkingText);
  const order = await settled(secret, returning);
  if (secret && order.room.slug) saveOrder({ order_id, secret }, order.room.slug, { current: opensRoom(order) });
  if (returning) history.replaceState(history.state, "", location.pathname);
  const card = order.room.slug ? await getCard(order.room.slug).catch(() => null) : null;
  if (returning && card && goOn(order, card)) return;
  const receipt = /** @type {Receipt} */ (await getReceipt(order_id, secret));
  const me = await whoAmI().catch(() => null);
  new ReceiptPage({ secret, order, receipt, card, arrived, me }).render();
}

/** The order once the payment service has answered; on the way back it is given some seconds. @param {string | null} secret @param {boolean} wait @returns {Promise<Order>} */
async function settled(secret, wait) {
  let order = await refreshOrder(order_id, secret);
  for (let n = 0; wait && n < RETURN_POLLS && isUnsettled(order) && order.state !== "open"; n++) {
    await sleep(pollDelay(n));
    order = await refreshOrder(order_id, secret);
  }
  return order;
}

/** Back from payment: into the call when it is paid and live, to the card when it is not paid. @param {Order} order @param {Card} card @returns {boolean} */
function goOn(order, card) {
  const page = `/r/${encodeURIComponent(card.slug)}`;
  if (opensRoom(order) && card.live) {
    showWaiting(t.sending);
    location.replace(`${page}/call`);
    return true;
  }
  if (["open", "failed", "expired", "canceled"].includes(order.state)) {
    location.replace(page);
    return true;
  }
  return false;
}

/** @param {string} title @param {string} [text] */
function showWaiting(title, text) {
  replace(root, h("div", { class: "card till-panel" },
    h("div", { class: "till-panel__big", role: "status" }, h("span", { class: "spinner" }), h("h1", { class: "large" }, title), text && h("p", { class: "muted" }, text))));
}

/** @param {string} iconName @param {string} title @param {string} text @param {...import("./dom.js").Child} actions */
function showState(iconName, title, text, ...actions) {
  replace(root, h("div", { class: "state" }, icon(iconName, { className: "icon--large" }), h("h1", null, title), h("p", { class: "muted" }, text), actions));
}

function showNoSecret() {
  byId("main").dataset.orderState = "no_secret";
  const toSignIn = signInLink();
  showState("key", t.noSecretTitle, toSignIn ? t.noSecretSignIn : t.noSecretText, toSignIn ?? startLink());
}

/** Where this server signs people in, and nobody is. */
const signInLink = () => (canSignIn() && !mayBeSignedIn()
  ? linkButton(t.signIn, signInUrl(), { kind: "primary", icon: "arrow-right", id: "receipt-sign-in" })
  : null);

const startLink = () => linkButton(en.toStart, "/", { kind: "primary" });

/** @param {unknown} error */
function showRefusal(error) {
  const { code } = /** @type {{code?: string}} */ (error);
  byId("main").dataset.orderState = "refused";
  if (["unknown_order", "secret_required", "sign_in_required"].includes(code ?? "")) { showState("key", t.noSecretTitle, errorText(error), signInLink() ?? startLink()); return; }
  showState(code === "offline" ? "offline" : "warning", t.failedTitle, errorText(error), button(en.tryAgain, { icon: "refresh", kind: "primary", onClick: () => location.reload() }));
}

class ReceiptPage {
  /**
   * `arrived`: by a link for another device; `me`: who is signed in.
   * @param {{secret: string | null, order: Order, receipt: Receipt, card: Card | null, arrived: boolean, me: import("./api.js").Me | null}} found
   */
  constructor({ secret, order, receipt, card, arrived, me }) {
    this.secret = secret;
    this.order = order;
    this.receipt = receipt;
    this.card = card;
    this.arrived = arrived;
    this.keep = this.#keep(me);
  }

  render() {
    byId("main").dataset.orderState = this.order.state;
    document.title = `${t.title} · ${this.receipt.room.title}`;
    replace(root, this.#notice(), this.#doors(), this.#paper(), this.keep, this.#device(), this.#player());
  }

  /** Bought without an account, and somebody is signed in now. @param {import("./api.js").Me | null} me */
  #keep(me) {
    const { secret } = this;
    if (!me || !secret || this.order.owned !== false || !this.receipt.paid_at) return null;
    return keepPanel({ title: t.keepTitle, text: t.keepText(me.name), action: t.keep, done: t.kept, href: pageInMode("/me") }, () => keepOrder(order_id, secret));
  }

  #notice() {
    const opens = opensRoom(this.order);
    if (this.card && isUnserved(this.order, this.card)) return this.#unserved();
    if (this.arrived && opens) return banner("success", { title: t.here, text: t.hereText });
    if (isUnsettled(this.order)) return banner("info", { busy: true, title: en.card.processingTitle, text: en.card.pendingText });
    return this.order.state === "open" ? banner("info", { title: t.notPaidTitle }) : null;
  }

  /** Paid, and the host is away: the money comes back by itself, unless the payer would rather wait. */
  #unserved() {
    const waits = Boolean(this.order.waits);
    const toggle = button(waits ? t.refundMe : t.keepTime, { kind: waits ? "small" : "small primary", id: "wait", onClick: () => { this.#wait(toggle, !waits); } });
    const used = (this.order.pass?.used_ms ?? 0) > 0;
    const text = waits ? t.waitsText : used ? t.leftUnservedText : t.unservedText;
    return banner("info", { icon: "clock", title: used ? t.leftUnservedTitle : t.unservedTitle, text, actions: [toggle] });
  }

  /** @param {HTMLButtonElement} pressed @param {boolean} wait */
  async #wait(pressed, wait) {
    setBusy(pressed, true);
    try {
      this.order = await setWait(order_id, this.secret, wait);
      this.render();
      byId("wait").focus();
    } catch (error) {
      setBusy(pressed, false);
      pressed.closest(".banner")?.after(banner("danger", { text: errorText(error) }));
    }
  }

  #doors() {
    const { slug } = this.receipt.room;
    if (!slug) return null;
    const page = `/r/${encodeURIComponent(slug)}`;
    const kind = this.card?.live ? "primary" : "";
    const goIn = opensRoom(this.order) && (this.secret
      ? linkButton(t.goIn, `${page}/call`, { kind, icon: "arrow-right", id: "go-in" })
      : button(t.goIn, { kind, icon: "arrow-right", id: "go-in", onClick: () => { this.#takeSecret(`${page}/call`); } }));
    return h("div", { class: "row no-print" }, goIn, linkButton(t.toCard, page, { icon: "door" }), button(t.print, { icon: "print", kind: "quiet", onClick: () => print() }));
  }

  /** Who is signed in goes in with a new secret, as on any other device. @param {string} page */
  async #takeSecret(page) {
    const pressed = /** @type {HTMLButtonElement} */ (byId("go-in"));
    setBusy(pressed, true);
    try {
      await takeOrder(order_id, this.receipt.room.slug);
      location.assign(page);
    } catch (error) {
      setBusy(pressed, false);
      pressed.after(banner("danger", { text: errorText(error) }));
    }
  }

  #paper() {
    const { receipt } = this;
    return h("article", { class: "card receipt" },
      h("div", { class: "receipt__head" },
        h("div", { class: "stack stack--tight" }, h("h1", null, t.title), h("p", { class: "large" }, receipt.room.title), h("p", { class: "muted" }, en.card.hostedBy(receipt.room.host_name))),
        stateBadge(receipt.state)),
      receipt.mode !== "live" && h("p", { class: "small muted" }, t.sandboxNote),
      this.#moneyPart(), receipt.pass && this.#timePart(receipt.pass), this.#detailsPart());
  }

  #moneyPart() {
    const { receipt } = this;
    if (receipt.use) return this.#usePart(receipt.use);
    const { rate_minor_per_min: rate } = receipt.computation;
    const length = receipt.seconds === null ? en.price.unlimited : formatLength(receipt.seconds);
    const line = rate === undefined ? `${t.entrance}, ${receipt.seconds === null ? length : t.lengthOnly(length)}`
      : t.perMinute(length, formatMoney({ amount_minor: rate, currency: receipt.price.currency }));
    const price = hasParts(receipt) ? receipt.list ?? receipt.price : receipt.price;
    return part(t.bought,
      receipt.room.description && h("p", { class: "prose muted" }, receipt.room.description),
      facts(...(receipt.invoices.length ? invoiceLines(receipt) : [[receipt.purpose === "topup" ? t.credits : line, formatMoney(price)], ...extraLines(receipt)]), ...refundLines(receipt), lostLine(receipt),
        receipt.paid_at && total([goneBack(receipt) ? t.totalRefunded : t.total, formatMoney(receipt.total)])));
  }

  /** A call that was paid for by use: what was held, what of it was charged, what was released. @param {import("./api.js").Use} use */
  #usePart({ used_ms, held_minor, charged_minor, released_minor }) {
    const { receipt } = this;
    const { currency } = receipt.price;
    const words = (/** @type {number | null} */ amount_minor) => formatMoney({ amount_minor: amount_minor ?? 0, currency });
    const rate = receipt.computation.rate_minor_per_min;
    const line = t.perMinute(formatLength(Math.floor(used_ms / 1000)), words(rate ?? 0));
    const known = charged_minor !== null;
    const used = formatLength(Math.floor(used_ms / 1000));
    const useWords = () => {
      if (receipt.funding === "wallet") return known ? t.useTaken(used, words(charged_minor)) : t.useTakenOpen;
      return `${t.useHeld(words(held_minor))} ${known ? t.useCharged(used, words(charged_minor), words(released_minor)) : t.useOpen}`;
    };
    return part(t.bought,
      receipt.room.description && h("p", { class: "prose muted" }, receipt.room.description),
      h("p", null, useWords()),
      facts(known && [line, words(charged_minor)], known && taxLine(receipt), ...refundLines(receipt), lostLine(receipt),
        known && total([goneBack(receipt) ? t.totalRefunded : t.total, formatMoney(receipt.total)])));
  }

  /** @param {import("./api.js").Pass} pass */
  #timePart(pass) {
    const { stays } = this.receipt;
    const left = pass.remaining_ms === null ? en.price.unlimited : formatClock(pass.remaining_ms);
    return part(t.usedTitle, facts([t.used, formatUsed(pass.used_ms)], opensRoom(this.order) && [t.left, left]), stays.length ? stayTable(stays) : h("p", { class: "muted" }, t.noStays));
  }

  #detailsPart() {
    const { receipt } = this;
    const terms = receipt.terms_accepted_at && h("span", null, formatDateTime(receipt.terms_accepted_at), receipt.terms_url && " · ",
      receipt.terms_url && h("a", { href: receipt.terms_url, target: "_blank", rel: "noopener noreferrer nofollow" }, t.termsLink));
    return part(t.details, facts([t.payer, receipt.name], [t.paidAt, receipt.paid_at && formatDateTime(receipt.paid_at)], [t.terms, terms],
      [t.reference, receipt.payment_reference && code(receipt.payment_reference)], [t.order, code(receipt.order_id)]));
  }

  #device() {
    if (!opensRoom(this.order) || !this.secret) return null;
    return h("section", { class: "card card--flat stack no-print" }, h("h2", null, t.device), deviceLink(() => makeLink(order_id, this.secret)));
  }

  #player() {
    const { secret } = this;
    if (!opensRoom(this.order) || !secret) return null;
    return streamPanel(en.stream.viewer, (method) => orderStreamKey(method, order_id, secret));
  }
}

/** @type {Record<string, "success" | "warning" | "danger" | "">} */
const BADGES = { paid: "success", refunded: "", partly_refunded: "", disputed: "danger", quarantined: "warning", failed: "danger" };

/** @param {string} state */
const stateBadge = (state) => badge(BADGES[state] ?? "", t.states[state] ?? state, state === "paid" ? "check" : undefined);

/** @param {string} title @param {...import("./dom.js").Child} children */
const part = (title, ...children) => h("section", { class: "receipt__part" }, h("h2", null, title), children);

/** @param {string} text */
const code = (text) => h("span", { class: "receipt__reference" }, text);

/** @param {...(import("./dom.js").Child[] | HTMLElement | null | "" | false)} pairs lines without a value are left out */
function facts(...pairs) {
  return h("dl", { class: "facts" }, pairs.map((pair) => (Array.isArray(pair) ? (pair[1] ? h("div", null, h("dt", null, pair[0]), h("dd", null, pair[1])) : null) : pair || null)));
}

/** @param {Receipt} receipt */
const hasParts = ({ discount, fee_on_top }) => discount.amount_minor > 0 || fee_on_top.amount_minor > 0;

/** @param {Receipt} receipt */
const goneBack = ({ refunds, lost }) => refunds.length > 0 || lost.amount_minor > 0;

/** What was taken off the list price, put on top of it, and is included. @param {Receipt} receipt @returns {(import("./dom.js").Child[] | null)[]} */
function extraLines(receipt) {
  const { discount, fee_on_top, price } = receipt;
  return [
    discount.amount_minor > 0 ? [t.discount, `−\u2060${formatMoney(discount)}`] : null,
    fee_on_top.amount_minor > 0 ? [t.feeOnTop, formatMoney(fee_on_top)] : null,
    hasParts(receipt) ? [t.price, formatMoney(price)] : null,
    taxLine(receipt),
  ];
}

/** Each payment of a subscription, the newest first. @param {Receipt} receipt @returns {import("./dom.js").Child[][]} */
const invoiceLines = ({ invoices }) => invoices.map((one) => [t.period(formatShortDateTime(one.created_at)), formatMoney(one)]);

/** @param {Receipt} receipt @returns {import("./dom.js").Child[] | null} */
const taxLine = ({ tax }) => (tax.amount_minor > 0 ? [t.tax, formatMoney(tax)] : null);

/** @param {Receipt} receipt @returns {import("./dom.js").Child[] | null} */
const lostLine = ({ lost }) => (lost.amount_minor > 0 ? [t.lost, `−\u2060${formatMoney(lost)}`] : null);

/** @param {string[]} pair */
const total = ([label, value]) => h("div", { class: "facts--total" }, h("dt", null, label), h("dd", { id: "receipt-total" }, value));

/** @param {Receipt} receipt @returns {import("./dom.js").Child[][]} */
const refundLines = ({ refunds, funding }) => refunds.map((one) => refundLine(one, funding === "wallet" ? t.refundInCredits : t.refundStates[one.state] ?? one.state));

/** @param {Receipt["refunds"][number]} refund @param {string} where @returns {import("./dom.js").Child[]} */
function refundLine(refund, where) {
  const words = [t.refundReasons[refund.reason], where].filter(Boolean).join(", ");
  return [`${t.refund} (${words})`, `−\u2060${formatMoney(refund)}`];
}

/** @param {Receipt["stays"]} stays */
function stayTable(stays) {
  const used = wholeParts(stays.map(({ used_ms }) => used_ms));
  const row = (/** @type {Receipt["stays"][number]} */ stay, /** @type {number} */ i) => h("tr", null,
    h("td", null, formatShortDateTime(stay.started_at)), h("td", null, stay.ended_at ? formatTime(stay.ended_at) : t.stillHere),
    h("td", null, formatUsed(used[i])), h("td", null, stay.pauses_ms >= 1000 ? formatUsed(stay.pauses_ms) : "–"));
  return h("div", { class: "scroll-x", tabindex: 0, role: "region", "aria-label": t.stays }, h("table", { class: "stays" },
    h("thead", null, h("tr", null, [t.stayFrom, t.stayTo, t.stayUsed, t.stayPaused].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", null, stays.map(row))));
}

start();
