// Buying credits, on whatever page: the card, beside a call, one's own page.

import { createTopup } from "./api.js";
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

  _accepted() {
    return text.buy.accept;
  }

  async _order() {
    const { currency, packages } = /** @type {Wallet} */ (this._wallet);
    const key = newOrderKey();
    // Kept before it is asked for: whatever happens then, this browser can prove that the order is its own.
    saveOrder(key, null);
    const made = await createTopup(currency, {
      order_id: key.order_id, package: this._choice, price_minor: packages[this._choice].price_minor, accept_terms: true, ui: "embedded",
    }, key.secret);
    return { key, checkout: made.checkout ?? null };
  }
}
