// "Add time": a payment beside the call, without leaving it. The server adds the time when the money is there.

import { h } from "./dom.js";
import { createOrder, getOrder, ApiError } from "./api.js";
import { newOrderKey, saveOrder, rememberedPayer } from "./orders.js";
import { formatMoney, formatShortLength } from "./format.js";
import { Purchase } from "./purchase.js";
import { call as text } from "./strings/call.en.js";

/** @typedef {import("./api.js").Card} Card */
/** @typedef {import("./orders.js").OrderKey} OrderKey */

export class AddTime extends Purchase {
  /** @param {{card: Card, pass: OrderKey, sandbox: boolean, name: () => string, onDone: () => void}} options `pass`: the order whose pass gets the time; `name` of who buys */
  constructor({ card, pass, sandbox, name, onDone }) {
    super({ words: { ...text.pay, lock: sandbox ? text.pay.sandboxLine : text.pay.lockLine }, onDone });
    this._card = card;
    this._pass = pass;
    this._name = name;
  }

  _offers() {
    return this._card.choices.map(({ seconds, price }) => ({
      title: seconds === null ? text.pay.unlimited : formatShortLength(seconds),
      note: formatMoney(typeof price === "number" ? { amount_minor: price, currency: this._card.currency } : price),
    }));
  }

  _accepted() {
    const link = this._card.terms_url && h("a", { href: this._card.terms_url, target: "_blank", rel: "noopener noreferrer" }, text.pay.termsLink);
    return link ? [text.pay.terms, " ", link, "."] : text.pay.noTerms;
  }

  async _order() {
    const { pass } = await getOrder(this._pass.order_id, this._pass.secret);
    if (!pass) throw new ApiError("not_paid", text.pay.noSecret, 0);
    const key = newOrderKey();
    // Kept before it is asked for: whatever happens then, this browser can prove that the order is its own.
    saveOrder(key, this._card.slug, { current: false });
    const { name, email } = rememberedPayer();
    const { seconds } = this._card.choices[this._choice];
    const made = await createOrder(this._card.slug, {
      order_id: key.order_id, name: this._name() || name || text.nameless, ...(email ? { email } : {}), ...(seconds === null ? {} : { seconds }),
      extends: pass.id, extends_secret: this._pass.secret, accept_terms: true, ui: "embedded",
    }, key.secret);
    return { key, checkout: made.checkout ?? null };
  }
}
