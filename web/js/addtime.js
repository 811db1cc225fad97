// "Add time": a payment beside the call, without leaving it. The server adds the time when the money is there; what
// the form says is only a hint to ask now.

import { h, replace, banner, button, linkButton, setBusy, toast } from "./dom.js";
import { createOrder, getOrder, refreshOrder, ApiError } from "./api.js";
import { newOrderKey, saveOrder, rememberedPayer } from "./orders.js";
import { mountPayment } from "./payment.js";
import { formatMoney, formatShortLength } from "./format.js";
import { call as text } from "./strings/call.en.js";
import { en } from "./strings/en.js";

/** @typedef {import("./api.js").Card} Card */
/** @typedef {import("./orders.js").OrderKey} OrderKey */

const ASK_EVERY_MS = 2_000;
const ASKS_MAX = 150;
const OVER = new Set(["paid", "refunded", "partly_refunded", "disputed", "quarantined"]);
const NOT_PAID = new Set(["expired", "canceled", "failed"]);

export class AddTime {
  /** @param {{card: Card, pass: OrderKey, sandbox: boolean, name: () => string, onDone: () => void}} options `pass`: the order whose pass gets the time; `name` of who buys */
  constructor({ card, pass, sandbox, name, onDone }) {
    this._card = card;
    this._pass = pass;
    this._sandbox = sandbox;
    this._name = name;
    this._onDone = onDone;
    this._choice = 0;
    /** @type {{destroy: () => void}|null} */
    this._mounted = null;
    /** Counts attempts: an answer to an abandoned one is dropped. */
    this._attempt = 0;
    this.element = h("div", { class: "addtime stack" });
  }

  /** The choice of lengths, from the start. */
  open() {
    this._stop();
    const form = h("form", { class: "stack", on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); this._buy(form); } } },
      h("p", { class: "muted" }, text.pay.intro),
      h("fieldset", { class: "stack stack--tight" }, h("legend", null, text.pay.choose), h("div", { class: "choices choices--row" }, this._choices())),
      this._terms(), this._button(),
      h("p", { class: "small muted addtime__lock" }, this._sandbox ? text.pay.sandboxLine : text.pay.lockLine));
    replace(this.element, form);
  }

  close() {
    this._stop();
    replace(this.element);
  }

  _stop() {
    this._attempt++;
    this._mounted?.destroy();
    this._mounted = null;
  }

  _choices() {
    return this._card.choices.map((choice, i) => h("label", { class: "choice" },
      h("input", { type: "radio", name: "addtime", value: i, checked: i === this._choice, on: { change: () => this._choose(i) } }),
      h("span", { class: "choice__body" },
        h("span", { class: "choice__title" }, choice.seconds === null ? text.pay.unlimited : formatShortLength(choice.seconds)),
        h("span", { class: "choice__note" }, this._price(i)))));
  }

  /** @param {number} i */
  _price(i) {
    const { price } = this._card.choices[i];
    return formatMoney(typeof price === "number" ? { amount_minor: price, currency: this._card.currency } : price);
  }

  /** @param {number} i */
  _choose(i) {
    this._choice = i;
    this.element.querySelector("[data-pay] span")?.replaceChildren(text.pay.go(this._price(i)));
  }

  _terms() {
    const link = this._card.terms_url && h("a", { href: this._card.terms_url, target: "_blank", rel: "noopener noreferrer" }, text.pay.termsLink);
    return h("label", { class: "check" }, h("input", { type: "checkbox", required: true, name: "terms" }),
      h("span", null, link ? [text.pay.terms, " ", link, "."] : text.pay.noTerms));
  }

  _button() {
    return button(text.pay.go(this._price(this._choice)), { kind: "primary wide", icon: "lock", type: "submit", "data-pay": true });
  }

  /** @param {HTMLFormElement} form */
  async _buy(form) {
    const attempt = ++this._attempt;
    const pay = /** @type {HTMLButtonElement} */ (form.querySelector("[data-pay]"));
    setBusy(pay, true);
    try {
      const pass = (await getOrder(this._pass.order_id, this._pass.secret)).pass;
      if (!pass) throw new ApiError("not_paid", text.pay.noSecret, 0);
      const order = await this._order(pass.id);
      if (attempt === this._attempt) this._pay(order);
    } catch (error) {
      if (attempt !== this._attempt) return;
      setBusy(pay, false);
      form.querySelector(".banner")?.remove();
      form.prepend(banner("danger", { title: text.pay.failed, text: words(error) }));
    }
  }

  /** @param {string} passId */
  async _order(passId) {
    const key = newOrderKey();
    // Kept before it is asked for: whatever happens then, this browser can prove that the order is its own.
    saveOrder(key, this._card.slug, { current: false });
    const { name, email } = rememberedPayer();
    const made = await createOrder(this._card.slug, {
      order_id: key.order_id, name: this._name() || name || text.nameless, ...(email ? { email } : {}), ...seconds(this._card.choices[this._choice].seconds),
      extends: passId, extends_secret: this._pass.secret, accept_terms: true, ui: "embedded",
    }, key.secret);
    return { key, checkout: made.checkout ?? null };
  }

  /** @param {{key: OrderKey, checkout: import("./api.js").Checkout|null}} order */
  _pay({ key, checkout }) {
    const place = h("div", { class: "addtime__form" });
    const status = h("div", { role: "status" });
    replace(this.element, status, place);
    if (!checkout) replace(status, banner("info", { busy: true, text: text.pay.pending }));
    else if (checkout.ui === "hosted") {
      // Following this link in this tab would end the call.
      replace(place, h("p", null, text.pay.newTabNote), linkButton(text.pay.newTab, checkout.url, { kind: "primary wide", icon: "external", target: "_blank", rel: "noopener" }));
    } else {
      this._mounted = mountPayment(place, checkout, {
        onComplete: () => this._paid(key, status, place),
        onCancel: () => { toast(text.pay.canceled); this.open(); },
      });
    }
    this._await(key, getOrder);
  }

  /** @param {OrderKey} key @param {HTMLElement} status @param {HTMLElement} place */
  _paid(key, status, place) {
    replace(status, banner("success", { title: text.pay.paid }));
    place.hidden = true;
    this._await(key, refreshOrder);
  }

  /** Ask until it is decided. @param {OrderKey} key @param {typeof getOrder} ask */
  async _await(key, ask) {
    const attempt = ++this._attempt;
    for (let i = 0; i < ASKS_MAX && attempt === this._attempt; i++) {
      const order = await ask(key.order_id, key.secret).catch(() => null);
      if (attempt !== this._attempt) return;
      if (order && OVER.has(order.state)) return this._finished();
      if (order && NOT_PAID.has(order.state)) { toast(text.pay.canceled); return this.open(); }
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    }
  }

  _finished() {
    this._stop();
    toast(text.pay.added, { icon: "check" });
    this._onDone();
  }
}

/** @param {number|null} length */
function seconds(length) {
  return length === null ? {} : { seconds: length };
}

/** @param {unknown} error */
function words(error) {
  const { code, message } = /** @type {ApiError} */ (error);
  return en.errors[code] ?? message;
}
