/** The public card: what is offered, and in its panel the one thing this visitor can do now. */

import { announce, banner, button, byId, dataBlock, h, linkButton, replace, setBusy } from "./dom.js";
import { icon } from "./icons.js";
import { cancelOrder, createOrder, getOrder, mayBeSignedIn, pageInMode, refreshOrder, signInUrl } from "./api.js";
import { watchCard } from "./cardfeed.js";
import { CreditsForm } from "./credits.js";
import { cardView, isUnsettled, offerOf, opensRoom, pollDelay } from "./cardstate.js";
import { devicePreview } from "./devices.js";
import { formatClock, formatDateTime, formatLength, formatMoney } from "./format.js";
import { factLines, priceLines, stateBadges } from "./offer.js";
import { OrderForm, lockLine } from "./orderform.js";
import { currentOrder, forgetCurrentOrder, newOrderKey, rememberPayer, saveOrder, storageWorks } from "./orders.js";
import { mountPayment } from "./payment.js";
import { en, errorText } from "./strings/en.js";

/** @typedef {import("./api.js").Card} Card */
/** @typedef {import("./api.js").Order} Order */
/** @typedef {import("./api.js").Checkout} Checkout */
/** @typedef {import("./orders.js").OrderKey} OrderKey */
/** @typedef {import("./orderform.js").OrderValues} OrderValues */

const t = en.card;

class CardPage {
  /** @type {Order | null} */ order = null;
  /** @type {OrderKey | null} */ key = null;
  /** The payment form on show. @type {{destroy: () => void} | null} */ payment = null;
  /** The values that the kept key was made for: the same press again is the same order. */
  #ordered = "";
  #shown = "";
  #asked = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {HTMLElement | null} */ #devices = null;
  #notify = false;
  /** The payer has just paid in this page, and is sent on to the call as the way back from a hosted page does. */
  #justPaid = false;

  /** @param {Card} card */
  constructor(card) {
    this.card = card;
    this.sandbox = document.body.dataset.sandbox === "true";
    this.panel = byId("panel");
    this.form = this.#makeForm(card);
    this.connection = h("div", { class: "connection", role: "status" });
    byId("main").prepend(this.connection);
  }

  async start() {
    // The way back from a payment that was left says so in the address; what is so, the order itself tells.
    if (location.search) history.replaceState(history.state, "", location.pathname);
    this.#paintOffer();
    this.key = currentOrder(this.card.slug);
    if (this.key) await this.#ask(true);
    this.render();
    watchCard(this.card.slug, { onCard: (card) => this.#takeCard(card), onConnection: (connected) => this.#showConnection(connected) });
    addEventListener("pageshow", (event) => { if (event.persisted) this.#refresh(); });
  }

  /** @param {Card} card */
  #takeCard(card) {
    const opened = card.state === "live" && this.card.state !== "live";
    const changed = offerOf(card) !== offerOf(this.card);
    this.card = card;
    if (changed) this.#newForm();
    this.#paintOffer();
    this.render();
    if (opened) this.#tellOpen();
  }

  /** Another price, other lengths or other terms: what was typed stays, what was accepted does not. */
  #newForm() {
    this.form = this.#makeForm(this.card, this.form.typed);
    this.#shown = "";
  }

  /** @param {Card} card @param {OrderForm["typed"]} [typed] */
  #makeForm(card, typed) {
    const options = { sandbox: this.sandbox, onPay: (/** @type {OrderValues} */ values) => { this.#pay(values); }, typed };
    return card.tariff.kind === "wallet" ? new CreditsForm(card, options) : new OrderForm(card, options);
  }

  #tellOpen() {
    announce(t.nowLive);
    document.title = `● ${t.live}: ${this.card.title}`;
    if (!this.#notify || !document.hidden) return;
    try {
      new Notification(t.notifyTitle(this.card.title), { body: t.notifyBody, icon: "/static/icons/touch-icon.png" });
    } catch {
      // Phones allow it only from a service worker; the title has changed all the same.
    }
  }

  #paintOffer() {
    replace(byId("offer-badges"), stateBadges(this.card));
    replace(byId("offer-price"), priceLines(this.card.tariff));
    replace(byId("offer-facts"), factLines(this.card));
    byId("main").dataset.cardState = this.card.state;
  }

  /** @param {boolean} connected */
  #showConnection(connected) {
    replace(this.connection, connected ? null : banner("warning", { busy: true, text: t.reconnecting }));
  }

  /** Paint the panel, unless it would be the same again: focus and a half-read sentence stay. */
  render() {
    if (this.payment) return;
    const view = cardView(this.card, this.order);
    if (view.panel === "paid" && this.#justPaid && this.card.live) { location.assign(this.#callUrl()); return; }
    byId("main").dataset.panel = view.panel;
    const remaining = Math.ceil((this.order?.pass?.remaining_ms ?? 0) / 1000);
    const shown = JSON.stringify([view, this.card.live, this.order?.state, remaining]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.panel.removeAttribute("aria-busy");
    replace(this.panel, this.#notice(view.notice), this.#panels[view.panel]());
  }

  /** @type {Record<import("./cardstate.js").Panel, () => import("./dom.js").Child[]>} */
  #panels = {
    loading: () => [waiting(en.loading)],
    form: () => this.#formPanel(),
    away: () => [big("clock", t.awayTitle(this.card.host_name), t.awayText, [this.#notifyButton()])],
    full: () => [big("people", t.fullTitle, t.fullText, [this.#notifyButton()])],
    locked: () => [big("lock", t.lockedTitle, t.lockedText)],
    unpriced: () => [big("info", t.unpricedTitle, t.unpricedText)],
    closed: () => [big("door", t.closedTitle, t.closedText, [this.order && this.#receiptLink()])],
    paid: () => this.#paidPanel(),
    pending: () => [waiting(t.pendingTitle, t.pendingText)],
    processing: () => [waiting(t.processingTitle, t.processingText)],
    checking: () => [big("info", t.quarantinedTitle, t.quarantinedText, [this.#receiptLink()])],
    continue: () => this.#continuePanel(),
  };

  #formPanel() {
    if (this.card.tariff.kind === "subscription" && !mayBeSignedIn()) return signInPanel();
    return [h("h2", null, t.formTitle), !storageWorks() && banner("warning", { text: t.noStorage }), this.form.element,
      this.card.privacy === "confidential" && this.#deviceCheck()];
  }

  #paidPanel() {
    const pass = this.order?.pass;
    const seconds = this.order?.seconds ?? null;
    const left = pass?.remaining_ms ?? null;
    if (this.order?.use) return this.#heldPanel(this.order.use);
    if (this.order?.subscription) return this.#subscribedPanel(this.order.subscription);
    const free = this.order?.funding === "free";
    const first = free && this.card.tariff.kind !== "free";
    const text = first ? t.freeMinutesText(formatLength(seconds ?? 0)) : free ? t.freeText : seconds === null ? t.paidUnlimited : t.paidText(formatLength(seconds));
    return [
      h("div", { class: "stack" }, h("h2", { class: "row" }, icon("check-circle"), first ? t.freeMinutesTitle : free ? t.freeTitle : t.paidTitle), h("p", null, text),
        left !== null && h("p", { class: "large numbers", id: "time-left" }, t.left(formatClock(left))),
        !this.card.live && banner("info", { icon: "pause", text: t.goInLater })),
      this.card.privacy === "confidential" && this.#deviceCheck(),
      linkButton(t.goIn, this.#callUrl(), { kind: "primary wide", icon: "arrow-right", id: "go-in" }),
      this.#receiptLink(t.moreWays),
    ];
  }

  /** @param {{access_until: string | null}} subscription */
  #subscribedPanel({ access_until }) {
    return [
      h("div", { class: "stack" }, h("h2", { class: "row" }, icon("check-circle"), t.subscribedTitle), h("p", null, t.subscribedText),
        access_until && banner("warning", { text: t.subscribedUntil(formatDateTime(access_until)) })),
      this.card.privacy === "confidential" && this.#deviceCheck(),
      linkButton(t.goIn, this.#callUrl(), { kind: "primary wide", icon: "arrow-right", id: "go-in" }),
      linkButton(t.yourPage, pageInMode("/me"), { kind: "quiet wide" }),
    ];
  }

  /** Held, and paid for what is used. @param {import("./api.js").Use} use */
  #heldPanel({ held_minor }) {
    const held = formatMoney({ amount_minor: held_minor, currency: this.card.currency });
    const [title, text] = this.order?.funding === "wallet" ? [t.creditsTitle, t.creditsText] : [t.heldTitle, t.heldText(held)];
    return [
      h("div", { class: "stack" }, h("h2", { class: "row" }, icon("check-circle"), title), h("p", null, text),
        !this.card.live && banner("info", { icon: "pause", text: t.goInLaterUse })),
      this.card.privacy === "confidential" && this.#deviceCheck(),
      linkButton(t.goIn, this.#callUrl(), { kind: "primary wide", icon: "arrow-right", id: "go-in" }),
      this.#receiptLink(t.moreWays),
    ];
  }

  #continuePanel() {
    const order = /** @type {Order} */ (this.order);
    const go = button(t.openContinue, { kind: "primary wide", icon: "lock", id: "continue-payment", onClick: () => this.#showCheckout(/** @type {Checkout} */ (order.checkout)) });
    const stop = button(t.openStop, { kind: "quiet wide", onClick: () => { this.#walkAway(stop); } });
    return [h("div", { class: "stack" }, h("h2", null, t.openTitle), h("p", null, t.openText)),
      h("p", { class: "offer__amount" }, formatMoney(order)), h("div", { class: "till-panel__pay" }, go, lockLine(this.sandbox), stop)];
  }

  /** @param {import("./cardstate.js").Notice} notice */
  #notice(notice) {
    if (!notice) return null;
    const { kind, title, text, receipt } = this.#notices[notice]();
    return h("div", { role: "status", "data-notice": notice }, banner(kind, { title, text, actions: receipt ? [this.#receiptLink()] : [] }));
  }

  /** @type {Record<string, () => {kind: "info" | "success" | "warning" | "danger", title: string, text: string, receipt?: boolean}>} */
  #notices = {
    failed: () => ({ kind: "danger", title: t.failedTitle, text: failureText(this.order?.failure) }),
    expired: () => ({ kind: "info", title: t.expiredTitle, text: t.expiredText }),
    canceled: () => ({ kind: "info", title: t.canceledTitle, text: t.canceledText }),
    refunded: () => ({ kind: "success", title: t.refundedTitle, text: refundText(this.order), receipt: true }),
    used_up: () => this.#overNotice() ?? ({ kind: "info", title: t.usedUpTitle, text: t.usedUpText, receipt: true }),
    revoked: () => ({ kind: "warning", title: t.revokedTitle, text: t.revokedText, receipt: true }),
    disputed: () => ({ kind: "warning", title: t.disputedTitle, text: t.disputedText, receipt: true }),
  };

  /** A call that was paid for by use: what was charged of the hold. */
  #overNotice() {
    if (this.order?.subscription) return { kind: /** @type {"warning"} */ ("warning"), title: t.lapsedTitle, text: t.lapsedText };
    const use = this.order?.use;
    if (!use) return null;
    const words = (/** @type {number | null} */ amount_minor) => formatMoney({ amount_minor: amount_minor ?? 0, currency: this.card.currency });
    const settled = this.order?.funding === "wallet" ? t.creditsSettled(words(use.charged_minor)) : t.settledText(words(use.charged_minor), words(use.released_minor));
    const text = use.charged_minor === null ? t.settlingText : settled;
    return { kind: /** @type {"info"} */ ("info"), title: t.settledTitle, text, receipt: true };
  }

  #callUrl() {
    return `/r/${encodeURIComponent(this.card.slug)}/call`;
  }

  /** @param {string} [text] */
  #receiptLink(text = t.seeReceipt) {
    return linkButton(text, `/orders/${encodeURIComponent(this.key?.order_id ?? "")}`, { kind: "quiet wide", icon: "receipt" });
  }

  #notifyButton() {
    if (!("Notification" in window) || this.#notify) return this.#notify ? h("p", { class: "muted" }, t.notifyOn) : null;
    const ask = button(t.notify, { icon: "bell", onClick: async () => {
      this.#notify = (await Notification.requestPermission()) === "granted";
      ask.replaceWith(h("p", { class: "muted", role: "status" }, this.#notify ? t.notifyOn : t.notifyDenied));
    } });
    return ask;
  }

  /** One element for the page's life: going from form to paid must not close the camera. */
  #deviceCheck() {
    this.#devices ??= deviceCheck();
    return this.#devices;
  }

  /** @param {OrderValues} values */
  async #pay(values) {
    setBusy(this.form.pay, true);
    this.form.showProblem(null);
    // A question about the order before would ask of this one, which the server does not know yet.
    clearTimeout(this.#timer);
    rememberPayer(values);
    const key = this.#keyFor(values);
    try {
      // Credits are held at once: there is no till on the way in.
      if (this.card.tariff.kind === "wallet") this.#justPaid = true;
      const answer = await createOrder(this.card.slug, { ...bodyOf(values), order_id: key.order_id }, key.secret);
      this.#take(key, await this.#orderAfter(key, answer));
    } catch (error) {
      this.#refuse(error);
    } finally {
      setBusy(this.form.pay, false);
    }
  }

  /** The same values again are the same order, however often the network fails. @param {OrderValues} values */
  #keyFor(values) {
    const ordered = JSON.stringify(values);
    if (ordered !== this.#ordered || !this.key || this.order) {
      this.key = newOrderKey();
      this.order = null;
      this.#ordered = ordered;
      saveOrder(this.key, this.card.slug);
    }
    return this.key;
  }

  /** @param {OrderKey} key @param {any} answer @returns {Promise<Order>} */
  async #orderAfter(key, answer) {
    if (answer.checkout) return { state: "open", room: this.card, waits: false, pass: null, ...answer };
    return getOrder(key.order_id, key.secret);
  }

  /** @param {OrderKey} key @param {Order} order */
  #take(key, order) {
    this.key = key;
    // Again: a question on its way while the order was made may have been answered with "unknown", and the key forgotten.
    saveOrder(key, this.card.slug);
    this.order = order;
    this.#asked = 0;
    if (order.state === "open" && order.checkout) this.#showCheckout(order.checkout);
    else this.render();
    this.#askAgain();
  }

  /** @param {unknown} error */
  #refuse(error) {
    const { code } = /** @type {{code?: string}} */ (error);
    // An answer that never came may have made the order: the key is kept, and pressing again repeats it.
    if (code !== "offline" && code !== "unreadable" && code !== "rate_limited") { this.#ordered = ""; this.key = null; forgetCurrentOrder(this.card.slug); }
    if (/** @type {{field?: string}} */ (error).field === "code" && this.form.codeField) this.form.codeField.refuse(errorText(error));
    else this.form.showProblem(banner("danger", { text: errorText(error) }));
  }

  /** @param {Checkout} checkout */
  #showCheckout(checkout) {
    const holder = h("div");
    const order = /** @type {Order} */ (this.order);
    const back = button(t.walkAway, { kind: "quiet", icon: "arrow-left", onClick: () => { this.#walkAway(back); } });
    if (checkout.ui !== "hosted") {
      this.#shown = "";
      byId("main").dataset.panel = "checkout";
      // The sandbox's frame has a way back of its own, Stripe's form has none.
      const own = checkout.ui === "embedded" && [lockLine(this.sandbox), back];
      const heading = this.card.tariff.kind === "metered" ? t.holdHeading : t.payHeading;
      replace(this.panel, h("h2", null, order.funding === "free" ? t.keepCardHeading : heading(formatMoney(order))), holder, own);
    } else {
      replace(this.panel, holder);
    }
    this.payment = mountPayment(holder, checkout, { onComplete: () => { this.#paid(); }, onCancel: () => { this.#walkAway(back); } });
  }

  #endCheckout() {
    this.payment?.destroy();
    this.payment = null;
    this.#shown = "";
  }

  async #paid() {
    this.#justPaid = true;
    this.#endCheckout();
    if (this.order) this.order = { ...this.order, state: "paid" };
    this.render();
    await this.#refresh();
  }

  /** @param {HTMLButtonElement} pressed */
  async #walkAway(pressed) {
    setBusy(pressed, true);
    this.#endCheckout();
    const key = /** @type {OrderKey} */ (this.key);
    try {
      const order = await cancelOrder(key.order_id, key.secret);
      if (key === this.key) this.order = order;
    } catch {
      // It may have been paid meanwhile, or nobody answered: what is so, the next question shows.
      await this.#ask(true);
    }
    if (this.key !== null && key !== this.key) return;
    if (this.order?.state === "open") { this.order = null; this.key = null; forgetCurrentOrder(this.card.slug); }
    this.render();
  }

  async #refresh() {
    this.#endCheckout();
    this.#asked = 0;
    await this.#ask(true);
    this.render();
  }

  /** Ask what has become of the order. @param {boolean} now ask the payment service, too */
  async #ask(now) {
    const key = this.key;
    if (!key) return;
    const before = opensRoom(this.order);
    try {
      const order = await (now ? refreshOrder : getOrder)(key.order_id, key.secret);
      if (key === this.key) this.order = order;
    } catch (error) {
      if (/** @type {{code?: string}} */ (error).code === "unknown_order" && key === this.key) { this.key = null; this.order = null; forgetCurrentOrder(this.card.slug); }
    }
    if (!before && opensRoom(this.order) && this.#asked > 0) announce(t.paidTitle);
    this.#askAgain();
  }

  #askAgain() {
    clearTimeout(this.#timer);
    const unanswered = this.key !== null && this.order === null;
    if (!isUnsettled(this.order) && !unanswered) return;
    this.#timer = setTimeout(async () => {
      await this.#ask(this.#asked % 3 === 2);
      if (this.payment && this.order?.state !== "open") this.#endCheckout();
      this.render();
    }, pollDelay(this.#asked++));
  }
}

/** @param {OrderValues} values */
function bodyOf({ name, email, seconds, accept_terms, terms_version, goes_on, code, free }) {
  return { name, accept_terms, ...(free ? { free } : {}), ...(terms_version ? { terms_version } : {}), ...(code ? { code } : {}), ...(goes_on ? { goes_on } : {}), ...(email ? { email } : {}), ...(seconds === null || free ? {} : { seconds }) };
}

/** @param {any} failure a code, or an object with code or message */
function failureText(failure) {
  const code = typeof failure === "string" ? failure : failure?.code;
  const known = t.failures[code ?? ""];
  return known ? t.declined(known) : t.failedText;
}

/** @param {Order | null} order */
function refundText(order) {
  const refund = order?.refund;
  return refund?.amount_minor ? t.refundedText(formatMoney({ currency: order?.currency ?? "", ...refund })) : t.refundedPlain;
}

/** @param {string} title @param {string} [text] */
function waiting(title, text) {
  return h("div", { class: "till-panel__big", role: "status" }, h("span", { class: "spinner" }), h("h2", null, title), text && h("p", { class: "muted" }, text));
}

/** @param {string} iconName @param {string} title @param {string} text @param {import("./dom.js").Child[]} [actions] */
function big(iconName, title, text, actions = []) {
  return h("div", { class: "till-panel__big", role: "status" }, icon(iconName, { className: "icon--large" }), h("h2", null, title), h("p", { class: "muted" }, text), actions);
}

/** A subscription is somebody's: who is not signed in does that first, and comes back here. */
function signInPanel() {
  return [h("h2", null, t.subscribeTitle), h("p", null, t.subscribeSignIn),
    linkButton(t.signIn, signInUrl(), { kind: "primary wide", icon: "arrow-right", id: "subscribe-sign-in" })];
}

/** A button that turns into the check: asking for a camera belongs to a press, not to a page that opens. */
function deviceCheck() {
  const holder = h("div");
  const start = button(en.devices.start, { icon: "camera", kind: "quiet wide", id: "check-devices", onClick: () => {
    replace(holder, h("h3", null, en.devices.title), h("p", { class: "small muted" }, en.devices.text), h("div"));
    const preview = devicePreview(/** @type {HTMLElement} */ (holder.lastElementChild));
    preview.open();
    addEventListener("pagehide", () => preview.destroy(), { once: true });
  } });
  replace(holder, start);
  holder.className = "stack";
  return holder;
}

new CardPage(dataBlock("card-data")).start();
