/** A promotion code on the public card: folded, tried before paying, and what it makes of the price. */

import { button, h, replace, setBusy } from "./dom.js";
import { icon } from "./icons.js";
import { getQuote } from "./api.js";
import { formatMoney } from "./format.js";
import { en, errorText } from "./strings/en.js";

/** @typedef {import("./api.js").Quote} Quote */

const t = en.card;

export class CodeField {
  /** What the code that is written makes of the price; null before it was tried. @type {Quote | null} */ quote = null;
  #asked = 0;

  /** @param {{slug: string, ask: () => {seconds?: number, email?: string}, onQuote: () => void, typed?: string}} options */
  constructor({ slug, ask, onQuote, typed = "" }) {
    this.slug = slug;
    this.ask = ask;
    this.onQuote = onQuote;
    this.input = h("input", { class: "field__input", id: "payer-code", name: "code", autocomplete: "off", autocapitalize: "characters", spellcheck: "false", maxlength: 32, value: typed,
      "aria-describedby": "payer-code-error", on: { input: () => this.#forget(), keydown: (/** @type {KeyboardEvent} */ event) => this.#key(event) } });
    this.use = button(t.codeUse, { id: "use-code", onClick: () => { this.tryIt(); } });
    this.problem = h("p", { class: "field__error", id: "payer-code-error", hidden: true });
    this.result = h("div", { role: "status", id: "code-result" });
    this.element = h("details", { class: "fold", id: "code-fold", open: Boolean(typed) }, h("summary", null, icon("receipt"), t.codeSummary),
      h("div", { class: "stack stack--tight" },
        h("div", { class: "field" }, h("label", { class: "field__label", for: "payer-code" }, t.code), h("div", { class: "field__row" }, this.input, this.use), this.problem),
        this.result));
  }

  /** As it is written; an order that is made without trying it takes it all the same. */
  get code() {
    return this.input.value.trim();
  }

  /** Ask what it makes of the price that is chosen now. */
  async tryIt() {
    if (!this.code) { this.refuse(t.codeMissing); return; }
    const asked = ++this.#asked;
    setBusy(this.use, true);
    try {
      const quote = await getQuote(this.slug, { ...this.ask(), code: this.code });
      if (asked === this.#asked) this.#show(quote);
    } catch (error) {
      if (asked === this.#asked) this.refuse(errorText(error));
    } finally {
      setBusy(this.use, false);
    }
  }

  /** Another length is chosen: what the code takes off changes with it. */
  again() {
    if (this.quote) this.tryIt();
  }

  /** Say what is wrong with the code. @param {string} text */
  refuse(text) {
    this.element.open = true;
    this.#show(null);
    this.problem.textContent = text;
    this.problem.hidden = false;
    this.input.setAttribute("aria-invalid", "true");
    this.input.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== "Enter") return;
    event.preventDefault(); // to try the code, not to pay
    this.tryIt();
  }

  #forget() {
    this.#asked += 1;
    this.#show(null);
  }

  /** @param {Quote | null} quote */
  #show(quote) {
    this.quote = quote;
    this.problem.hidden = true;
    this.input.removeAttribute("aria-invalid");
    replace(this.result, quote && priceParts(quote));
    this.onQuote();
  }
}

/** @param {Quote} quote */
function priceParts({ list_minor, discount_minor, fee_on_top_minor, raised_minor, amount_minor, currency }) {
  const money = (/** @type {number} */ minor) => formatMoney({ amount_minor: minor, currency });
  const line = (/** @type {string} */ name, /** @type {string} */ value, total = false) => h("div", { class: total && "facts--total" }, h("dt", null, name), h("dd", null, value));
  return h("div", { class: "stack stack--tight" },
    h("dl", { class: "facts" }, line(t.codeList, money(list_minor)), line(t.codeOff, `−${money(discount_minor)}`),
      fee_on_top_minor > 0 && line(t.codeFee, money(fee_on_top_minor)), line(t.codePay, money(amount_minor), true)),
    raised_minor > 0 && h("p", { class: "field__help" }, t.codeRaised),
    amount_minor === 0 && h("p", { class: "field__help" }, t.codeAll));
}
