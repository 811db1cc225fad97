// Buying credits, on whatever page: the card, beside a call, one's own page.

import { h } from "./dom.js";
import { createTopup } from "./api.js";
import { cardText } from "./autotopup.js";
import { newOrderKey, saveOrder } from "./orders.js";
import { formatMoney } from "./format.js";
import { Purchase } from "./purchase.js";
import { credits as text } from "./strings/credits.en.js";

/** @typedef {import("./api.js").Wallet} Wallet */

/** "€20.00 + €5.00": what a package puts into the wallet. @param {import("./api.js").Package} package_ */
export function packageText({ price_minor, credit_minor, currency }) {
  const money = (/** @type {number} */ amount_minor) => formatMoney({ amount_minor, currency });
  return credit_minor > price_minor ? text.withBonus(money(price_minor), money(credit_minor - price_minor)) : text.creditsOf(money(credit_minor));
}

export class TopUp extends Purchase {
  /** @param {{sandbox: boolean, onDone: () => void}} options */
  constructor({ sandbox, onDone }) {
    super({ words: { ...text.buy, lock: sandbox ? text.buy.sandboxLine : text.buy.lockLine }, onDone });
    this._layout = "choices--list";
    /** @type {Wallet|null} */
    this._wallet = null;
    /** @type {HTMLSelectElement|undefined} */
    this._card = undefined;
    /** @type {HTMLInputElement|undefined} */
    this._keep = undefined;
  }

  /** What it is bought for; shown again from the start when it was shown before. @param {Wallet} wallet */
  set(wallet) {
    this._wallet = wallet;
  }

  _offers() {
    return (this._wallet?.packages ?? []).map((package_) => ({
      title: packageText(package_),
      note: formatMoney({ amount_minor: package_.price_minor, currency: package_.currency }),
    }));
  }

  /** With which card, and whether a new one is kept. */
  _further() {
    const cards = this._wallet?.cards ?? [];
    this._keep = h("input", { type: "checkbox", name: "save_card" });
    const keep = h("label", { class: "check" }, this._keep, h("span", null, text.cards.keep));
    if (cards.length === 0) return keep;
    keep.hidden = true;
    this._card = h("select", { class: "field__input", id: "topup-card", on: { change: () => { keep.hidden = this._card?.value !== ""; } } },
      cards.map((card) => h("option", { value: card.id }, cardText(card))), h("option", { value: "" }, text.cards.another));
    return [h("div", { class: "field" }, h("label", { class: "field__label", for: "topup-card" }, text.cards.payWith), this._card), keep];
  }

  _accepted() {
    return text.buy.accept;
  }

  async _order() {
    const { currency, packages } = /** @type {Wallet} */ (this._wallet);
    const key = newOrderKey();
    // Kept before it is asked for: whatever happens then, this browser can prove that the order is its own.
    saveOrder(key, null);
    const made = await createTopup(currency, {
      order_id: key.order_id, package: this._choice, price_minor: packages[this._choice].price_minor, accept_terms: true, ui: "embedded", ...this._payWith(),
    }, key.secret);
    return { key, checkout: made.checkout ?? null, kept: Boolean(this._card?.value) };
  }

  _payWith() {
    if (this._card?.value) return { payment_method_id: this._card.value };
    return this._keep?.checked ? { save_card: true } : {};
  }
}
