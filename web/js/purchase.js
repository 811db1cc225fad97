// A payment beside what is going on, without leaving the page: a choice, the payment form, and asking until it is
// decided. What the form says is only a hint to ask now.

import { h, replace, banner, button, linkButton, setBusy, toast } from "./dom.js";
import { getOrder, refreshOrder, ApiError } from "./api.js";
import { mountPayment } from "./payment.js";
import { en } from "./strings/en.js";

/** @typedef {import("./orders.js").OrderKey} OrderKey */
/** `kept`: by a card on file, so that what is answered is a bank's question. @typedef {{key: OrderKey, checkout: import("./api.js").Checkout | null, kept?: boolean}} Made */
/** @typedef {{intro: string, choose: string, go: (price: string) => string, lock: string, failed: string, pending: string, newTabNote: string, newTab: string,
 *   paid: string, added: string, canceled: string}} Words */
/** @typedef {{title: string, note: string}} Offer */

const ASK_EVERY_MS = 2_000;
const ASKS_MAX = 150;
const OVER = new Set(["paid", "refunded", "partly_refunded", "disputed", "quarantined"]);
const NOT_PAID = new Set(["expired", "canceled", "failed"]);

/** What is bought, how it is ordered and what is accepted with it, the subclasses say. */
export class Purchase {
  /** @param {{words: Words, onDone: () => void}} options */
  constructor({ words, onDone }) {
    this._words = words;
    this._onDone = onDone;
    this._choice = 0;
    this._layout = "choices--row";
    /** @type {{destroy: () => void}|null} */
    this._mounted = null;
    /** Counts attempts: an answer to an abandoned one is dropped. */
    this._attempt = 0;
    this.element = h("div", { class: "addtime stack" });
  }

  /** What can be chosen, each with its price as the note. @returns {Offer[]} */
  _offers() { return []; }

  /** Orders what is chosen. @returns {Promise<Made>} */
  _order() { throw new Error("the subclass orders"); }

  /** What else is to be chosen. @returns {import("./dom.js").Child} */
  _further() { return null; }

  /** What is accepted with the payment. @returns {import("./dom.js").Child} */
  _accepted() { return null; }

  /** The choice, from the start. */
  open() {
    this._stop();
    const form = h("form", { class: "stack", on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); this._buy(form); } } },
      h("p", { class: "muted" }, this._words.intro),
      h("fieldset", { class: "stack stack--tight" }, h("legend", null, this._words.choose), h("div", { class: `choices ${this._layout}` }, this._choices())),
      this._further(),
      h("label", { class: "check" }, h("input", { type: "checkbox", required: true, name: "terms" }), h("span", null, this._accepted())),
      this._button(),
      h("p", { class: "small muted addtime__lock" }, this._words.lock));
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
    return this._offers().map(({ title, note }, i) => h("label", { class: "choice" },
      h("input", { type: "radio", name: "purchase", value: i, checked: i === this._choice, on: { change: () => this._choose(i) } }),
      h("span", { class: "choice__body" }, h("span", { class: "choice__title" }, title), h("span", { class: "choice__note" }, note))));
  }

  /** @param {number} i */
  _price(i) {
    return this._offers()[i]?.note ?? "";
  }

  /** @param {number} i */
  _choose(i) {
    this._choice = i;
    this.element.querySelector("[data-pay] span")?.replaceChildren(this._words.go(this._price(i)));
  }

  _button() {
    return button(this._words.go(this._price(this._choice)), { kind: "primary wide", icon: "lock", type: "submit", "data-pay": true });
  }

  /** @param {HTMLFormElement} form */
  async _buy(form) {
    const attempt = ++this._attempt;
    const pay = /** @type {HTMLButtonElement} */ (form.querySelector("[data-pay]"));
    setBusy(pay, true);
    try {
      const order = await this._order();
      if (attempt === this._attempt) this._pay(order);
    } catch (error) {
      if (attempt !== this._attempt) return;
      setBusy(pay, false);
      form.querySelector(".banner")?.remove();
      form.prepend(banner("danger", { title: this._words.failed, text: words(error) }));
    }
  }

  /** @param {Made} order */
  _pay({ key, checkout, kept = false }) {
    const place = h("div", { class: "addtime__form" });
    const status = h("div", { role: "status" });
    replace(this.element, status, place);
    if (!checkout) replace(status, banner("info", { busy: true, text: this._words.pending }));
    else if (checkout.ui === "hosted") {
      // Following this link in this tab would end the call.
      replace(place, h("p", null, this._words.newTabNote), linkButton(this._words.newTab, checkout.url, { kind: "primary wide", icon: "external", target: "_blank", rel: "noopener" }));
    } else {
      this._mounted = mountPayment(place, checkout, {
        // What a bank is asked about a kept card may have been refused, too.
        onComplete: () => this._done(key, status, place, kept ? banner("info", { busy: true, text: en.payment.answered }) : banner("success", { title: this._words.paid })),
        onCancel: () => { toast(this._words.canceled); this.open(); },
      });
    }
    this._await(key, getOrder);
  }

  /** @param {OrderKey} key @param {HTMLElement} status @param {HTMLElement} place @param {HTMLElement} said */
  _done(key, status, place, said) {
    replace(status, said);
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
      if (order && NOT_PAID.has(order.state)) return this._notPaid(order);
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    }
  }

  /** @param {import("./api.js").Order} order */
  _notPaid({ failure }) {
    this.open();
    const why = en.card.failures[failure ?? ""];
    if (why) this.element.prepend(banner("danger", { title: this._words.canceled, text: en.card.declined(why) }));
    else toast(this._words.canceled);
  }

  _finished() {
    this._stop();
    toast(this._words.added, { icon: "check" });
    this._onDone();
  }
}

/** @param {unknown} error */
function words(error) {
  const { code, message } = /** @type {ApiError} */ (error);
  return en.errors[code] ?? message;
}
