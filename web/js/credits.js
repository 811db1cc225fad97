// Credits in a room: before going in, and beside the call. What is there the server says; this counts on with what is used.

import { banner, button, h, linkButton, replace } from "./dom.js";
import { icon } from "./icons.js";
import { getWallet, pageInMode, signInUrl, whoAmI } from "./api.js";
import { formatLength, formatMoney } from "./format.js";
import { rememberedPayer } from "./orders.js";
import { autoTopUp } from "./autotopup.js";
import { TopUp } from "./topup.js";
import { costOf } from "./usepanel.js";
import { credits as text } from "./strings/credits.en.js";
import { en, errorText } from "./strings/en.js";

/** @typedef {import("./api.js").Card} Card */
/** @typedef {import("./api.js").Wallet} Wallet */
/** @typedef {import("./api.js").WalletTariff} WalletTariff */
/** @typedef {import("./orderform.js").OrderValues} OrderValues */

const LEAST_S = 60;

/** Whole seconds that so much pays for. @param {WalletTariff} tariff @param {number} amount_minor */
export function secondsOf({ rate_minor_per_min }, amount_minor) {
  return Math.floor((Math.max(0, amount_minor) * 60) / rate_minor_per_min);
}

/** @param {string} next a path of this server */
const signInLink = (next, extra = {}) => linkButton(text.card.signIn, signInUrl(next), { kind: "primary wide", icon: "arrow-right", id: "credits-sign-in", ...extra });

/** Stands where others choose a length: who is signed in goes in with their credits, or buys some first. */
export class CreditsForm {
  /** @param {Card} card @param {{sandbox: boolean, onPay: (values: OrderValues) => void, typed?: import("./orderform.js").Typed}} options */
  constructor(card, { sandbox, onPay, typed }) {
    this.card = card;
    this.tariff = /** @type {WalletTariff} */ (card.tariff);
    this.onPay = onPay;
    this.problem = h("div", { role: "alert" });
    this.name = h("input", { class: "field__input", id: "payer-name", name: "name", autocomplete: "name", maxlength: 80, required: true, value: (typed ?? rememberedPayer()).name });
    this.codeField = null;
    this.terms = h("input", { type: "checkbox", id: "payer-terms", name: "terms", required: true });
    this.pay = h("button", { class: "button button--primary button--wide", type: "submit", id: "pay" }, icon("arrow-right"), h("span", null, text.card.enter));
    this.topUp = new TopUp({ sandbox, onDone: () => { this.load(); } });
    this.element = h("div", { class: "stack", id: "credits-form", "aria-busy": "true" }, h("p", { class: "till-panel__big" }, h("span", { class: "spinner" })));
    this.load();
  }

  /** What was typed, for the form that comes after this one. @returns {import("./orderform.js").Typed} */
  get typed() {
    return { name: this.name.value, email: "", code: "" };
  }

  async load() {
    try {
      const me = await whoAmI();
      if (!me) { this.#signedOut(); return; }
      this.name.value ||= me.name;
      this.#draw(await getWallet(this.card.currency));
    } catch (error) {
      if (/** @type {{code?: string}} */ (error).code === "sign_in_required") { this.#signedOut(); return; }
      this.#show("failed", banner("danger", { text: errorText(error), actions: [button(en.tryAgain, { icon: "refresh", kind: "small", onClick: () => { this.load(); } })] }));
    }
  }

  /** @param {string} state @param {...import("./dom.js").Child} children */
  #show(state, ...children) {
    this.element.dataset.credits = state;
    this.element.removeAttribute("aria-busy");
    replace(this.element, ...children);
  }

  #signedOut() {
    this.#show("signed_out", h("h3", { class: "field__label" }, text.card.signInTitle), h("p", null, text.card.signInText), signInLink(location.pathname));
  }

  /** @param {Wallet} wallet */
  #draw(wallet) {
    this.topUp.set(wallet);
    const seconds = wallet.owed_minor ? 0 : secondsOf(this.tariff, wallet.available_minor);
    const isEnough = seconds >= Math.min(LEAST_S, this.tariff.max_seconds ?? LEAST_S);
    const isSold = wallet.packages.length > 0;
    const said = h("p", { class: "large", id: "credits-left" }, this.#said(wallet, seconds, isEnough));
    if (!isEnough) {
      if (isSold) this.topUp.open();
      this.#show("low", said, isSold ? [h("h3", { class: "field__label" }, text.card.buyTitle), this.topUp.element] : h("p", { class: "muted" }, text.card.managed));
      return;
    }
    this.topUp.close();
    const more = isSold && button(text.card.more, { kind: "quiet wide", id: "more-credits", onClick: () => { this.topUp.open(); more && more.replaceWith(this.topUp.element); } });
    this.#show("enough", said, this.#form(), more);
  }

  /** @param {Wallet} wallet @param {number} seconds @param {boolean} isEnough */
  #said({ available_minor, frozen_minor, owed_minor, currency }, seconds, isEnough) {
    const money = (/** @type {number} */ amount_minor) => formatMoney({ amount_minor, currency });
    if (owed_minor) return text.card.owed(money(owed_minor));
    if (isEnough) return text.card.enough(money(available_minor), formatLength(seconds));
    if (frozen_minor) return text.card.frozen(money(available_minor), money(frozen_minor));
    return available_minor > 0 ? text.card.tooLittle(money(available_minor)) : text.card.none;
  }

  #form() {
    const { terms_url } = this.card;
    const words = terms_url
      ? [en.card.termsBefore, h("a", { href: terms_url, target: "_blank", rel: "noopener noreferrer nofollow" }, en.card.termsLink), ". ", text.card.accept]
      : text.card.accept;
    return h("form", { class: "stack", id: "order-form", on: { submit: (/** @type {Event} */ event) => this.#submit(event) } },
      h("ul", { class: "use-note__lines" }, text.card.how.map((line) => h("li", null, line))),
      h("div", { class: "field" }, h("label", { class: "field__label", for: "payer-name" }, en.card.name), this.name),
      h("label", { class: "check" }, this.terms, h("span", null, words)),
      h("div", { class: "till-panel__pay" }, this.problem, this.pay));
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const name = this.name.value.trim();
    if (!name) { this.name.focus(); return; }
    this.onPay({ name, email: "", seconds: null, accept_terms: true, terms_version: this.card.terms_version ?? null, goes_on: false, code: "" });
  }

  /** Show a refusal above the button; none clears it. @param {Node | null} problem */
  showProblem(problem) {
    replace(this.problem, problem);
  }
}

/** Beside the call: how much is left, how long that lasts, and buying more. */
export class CreditsPanel {
  /** @param {{tariff: WalletTariff, sandbox: boolean, leftMs: () => number | null, changed: () => void}} options `leftMs`: of what is held already */
  constructor({ tariff, sandbox, leftMs, changed }) {
    this._tariff = tariff;
    this._leftMs = leftMs;
    this._changed = changed;
    /** What the wallet has beside what this call holds. @type {number | null} */
    this.balanceMinor = null;
    this.topUp = new TopUp({ sandbox, onDone: () => { this.load(); } });
    this.facts = h("dl", { class: "facts" });
    this.place = h("div", { class: "stack" });
    const price = formatMoney({ amount_minor: tariff.rate_minor_per_min, currency: tariff.currency });
    this.element = h("div", { class: "stack" }, h("p", { class: "muted" }, text.call.intro(price)), this.facts, this.place);
  }

  /** Will nothing follow when what is held is used up? */
  get endsHere() {
    return this.balanceMinor !== null && secondsOf(this._tariff, this.balanceMinor) < 1;
  }

  /** Credits left, all in all, as of now. */
  get totalMinor() {
    return (this.balanceMinor ?? 0) + costOf(this._tariff, this._leftMs() ?? 0).amount_minor;
  }

  /** Asks the server. Somebody who goes on here by a link may not be signed in here: then notices alone tell. */
  async load() {
    try {
      const wallet = await getWallet(this._tariff.currency);
      this.topUp.set(wallet);
      replace(this.place, wallet.packages.length > 0 && button(text.call.buy, { kind: "primary wide", icon: "plus", id: "buy-credits", onClick: () => this._buy() }),
        autoTopUp(wallet, () => {}));
      this.setBalance(wallet.owed_minor ? 0 : wallet.available_minor);
    } catch (error) {
      const { code } = /** @type {{code?: string}} */ (error);
      replace(this.place, code === "sign_in_required" ? signInLink(pageInMode("/me"), { target: "_blank", rel: "noopener" }) : banner("danger", { text: errorText(error) }));
    }
  }

  _buy() {
    this.topUp.open();
    replace(this.place, this.topUp.element);
  }

  /** @param {number} minor */
  setBalance(minor) {
    this.balanceMinor = minor;
    document.body.dataset.balance = String(minor);
    this.draw();
    this._changed();
  }

  draw() {
    if (this.balanceMinor === null) return;
    const total = this.totalMinor;
    const fact = (/** @type {string} */ name, /** @type {string} */ value) => h("div", null, h("dt", null, name), h("dd", null, value));
    replace(this.facts, fact(text.call.left, formatMoney({ amount_minor: total, currency: this._tariff.currency })),
      fact(text.call.lasts, formatLength(secondsOf(this._tariff, total))));
  }

  close() {
    this.topUp.close();
    this.load();
  }
}

/** What became of a call's credits, for the screen after it. @param {import("./api.js").Use} use @param {Wallet | null} wallet @param {string} currency @returns {[string, string][]} */
export function creditFacts({ charged_minor }, wallet, currency) {
  const money = (/** @type {number} */ amount_minor) => formatMoney({ amount_minor, currency });
  const facts = /** @type {[string, string][]} */ ([[text.call.charged, money(charged_minor ?? 0)]]);
  if (wallet) facts.push([text.call.stillThere, money(wallet.balance_minor)]);
  return facts;
}
