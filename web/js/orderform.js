/** The form with which a visitor buys: name, e-mail, length, terms. It is built once and keeps what was typed while the room changes. */

import { CodeField } from "./codefield.js";
import { mayBeSignedIn, signInUrl } from "./api.js";
import { button, h, linkButton, replace } from "./dom.js";
import { icon } from "./icons.js";
import { formatLength, formatMoney } from "./format.js";
import { choicePrice } from "./offer.js";
import { rememberedPayer } from "./orders.js";
import { en } from "./strings/en.js";

/** @typedef {import("./api.js").Card} Card */
/** @typedef {{name: string, email: string, seconds: number | null, accept_terms: boolean, terms_version: string | null, goes_on: boolean, code: string, free?: boolean}} OrderValues */
/** What was typed into a form before the room changed. @typedef {{name: string, email: string, code: string}} Typed */

const t = en.card;
/** Enough to catch a slip; the mail itself is the proof. */
const EMAIL = /^[^\s@]+@[^\s@]+\.[^\s@]+$/;

export class OrderForm {
  /** @param {Card} card @param {{sandbox: boolean, onPay: (values: OrderValues) => void, typed?: Typed}} options */
  constructor(card, { sandbox, onPay, typed }) {
    this.card = card;
    this.onPay = onPay;
    const payer = typed ?? rememberedPayer();
    this.name = h("input", { class: "field__input", id: "payer-name", name: "name", autocomplete: "name", maxlength: 80, required: true, value: payer.name, "aria-describedby": "payer-name-help payer-name-error" });
    this.email = h("input", { class: "field__input", id: "payer-email", name: "email", type: "email", autocomplete: "email", maxlength: 254, value: payer.email, "aria-describedby": "payer-email-error" });
    this.terms = h("input", { type: "checkbox", id: "payer-terms", name: "terms", required: true, "aria-describedby": "payer-terms-error" });
    this.goesOn = h("input", { type: "checkbox", id: "goes-on", name: "goes_on" });
    this.payText = h("span");
    this.pay = h("button", { class: "button button--primary button--wide", type: "submit", id: "pay" }, icon("lock"), this.payText);
    this.lengths = this.#lengths();
    this.codeField = isBoughtWhole(card) ? new CodeField({ slug: card.slug, ask: () => this.#asked(), onQuote: () => this.#showPrice(), typed: typed?.code }) : null;
    this.problem = h("div", { role: "alert" });
    this.element = h("form", { novalidate: true, id: "order-form", on: { submit: (/** @type {Event} */ event) => this.#submit(event), change: (/** @type {Event} */ event) => this.#changed(event) } },
      this.#nameField(), this.#emailField(), this.lengths, this.codeField?.element, this.#useField(), this.#termsField(),
      this.#freeFirst(),
      h("div", { class: "till-panel__pay" }, this.problem, this.pay, card.tariff.kind !== "free" && lockLine(sandbox)));
    this.#showPrice();
  }

  #nameField() {
    return h("div", { class: "field" }, h("label", { class: "field__label", for: "payer-name" }, t.name), this.name,
      h("p", { class: "field__help", id: "payer-name-help" }, t.nameHelp), errorLine("payer-name"));
  }

  #emailField() {
    const unlimited = this.card.choices.some(({ seconds }) => seconds === null);
    return h("div", { class: "field" },
      h("label", { class: "field__label", for: "payer-email" }, unlimited ? t.emailUnlimited : t.email, " ", h("span", { class: "field__optional" }, en.optional)),
      this.email, errorLine("payer-email"));
  }

  /** One choice is no choice: then only the button names it. */
  #lengths() {
    const { choices, currency } = this.card;
    if (choices.length < 2) return null;
    const middle = Math.min(1, choices.length - 1);
    return h("fieldset", { class: "field" }, h("legend", { class: "field__label" }, t.length),
      h("div", { class: "choices choices--list" }, choices.map((choice, i) => h("label", { class: "choice" },
        h("input", { type: "radio", name: "choice", value: i, checked: i === middle }),
        h("span", { class: "choice__body" },
          h("span", { class: "choice__title" }, choice.seconds === null ? en.price.unlimited : formatLength(choice.seconds)),
          h("span", { class: "choice__note numbers" }, formatMoney(choicePrice(choice, currency))))))));
  }

  /** How a call is paid for that is paid for by use: said before the card is asked. */
  #useField() {
    const { tariff, smallest_charge } = this.card;
    if (tariff.kind === "subscription") return subscriptionNote(tariff, formatMoney(this.price));
    if (tariff.kind !== "metered") return null;
    const price = formatMoney(this.price);
    const length = formatLength(this.card.choices[0].seconds ?? tariff.window_s);
    const longer = !tariff.max_seconds || tariff.max_seconds > tariff.window_s;
    return h("section", { class: "use-note stack stack--tight", "aria-labelledby": "use-title" },
      h("h3", { class: "field__label", id: "use-title" }, t.useTitle),
      h("ul", { class: "use-note__lines" }, [t.useHold(price, length), t.useCharge, smallest_charge && (tariff.minimum === "charge" ? t.useLeastAlways : t.useLeast)(formatMoney(smallest_charge))]
        .map((line) => line && h("li", null, line))),
      longer && h("label", { class: "check" }, this.goesOn, h("span", null, t.goesOn(price))),
      longer && h("p", { class: "field__help" }, t.useEnd(length)));
  }

  /** Free minutes before anything is bought: for who is signed in. */
  #freeFirst() {
    const { tariff } = this.card;
    if (!isBoughtWhole(this.card) || !("free_seconds" in tariff) || !tariff.free_seconds) return null;
    const length = formatLength(tariff.free_seconds);
    const go = mayBeSignedIn() ? button(t.tryFree(length), { kind: "wide", id: "try-free", onClick: (event) => this.#submit(event, true) })
      : linkButton(t.tryFreeSignIn(length), signInUrl(), { kind: "wide", id: "try-free-sign-in" });
    return h("div", { class: "stack stack--tight" }, go, h("p", { class: "field__help" }, t.tryFreeNote));
  }

  #termsField() {
    const { terms_url } = this.card;
    const words = terms_url
      ? h("span", null, t.termsBefore, h("a", { href: terms_url, target: "_blank", rel: "noopener noreferrer nofollow" }, t.termsLink), ".")
      : h("span", null, TERMS[this.card.tariff.kind] ?? t.termsNone);
    return h("div", { class: "field" }, h("label", { class: "check" }, this.terms, words), errorLine("payer-terms"));
  }

  #choice() {
    const picked = /** @type {HTMLInputElement | null} */ (this.element?.querySelector("input[name=choice]:checked"));
    return this.card.choices[picked ? Number(picked.value) : 0] ?? { seconds: null, price: 0 };
  }

  /** What was typed, for the form that comes after this one. @returns {Typed} */
  get typed() {
    return { name: this.name.value, email: this.email.value, code: this.codeField?.code ?? "" };
  }

  /** @param {Event} event */
  #changed(event) {
    this.#showPrice();
    if (/** @type {HTMLInputElement} */ (event.target).name === "choice") this.codeField?.again();
  }

  /** What a quote is asked for. */
  #asked() {
    const { seconds } = this.#choice();
    const email = this.email.value.trim();
    return { ...(seconds === null ? {} : { seconds }), ...(EMAIL.test(email) ? { email } : {}) };
  }

  #showPrice() {
    const { kind } = this.card.tariff;
    const quote = this.codeField?.quote;
    if (quote) { this.payText.textContent = quote.amount_minor === 0 ? t.payNothing : t.pay(formatMoney(quote)); return; }
    const price = formatMoney(this.price);
    if (this.card.tariff.kind === "subscription") { this.payText.textContent = subscribeText(this.card.tariff, price); return; }
    this.payText.textContent = kind === "free" ? t.join : kind === "metered" ? t.hold(price) : t.pay(price);
  }

  /** The price now chosen. */
  get price() {
    return choicePrice(this.#choice(), this.card.currency);
  }

  /** @param {Event} event @param {boolean} [free] */
  #submit(event, free = false) {
    event.preventDefault();
    const name = this.name.value.trim();
    const email = this.email.value.trim();
    const wrong = [
      showError(this.name, name ? "" : t.nameMissing), showError(this.email, !email || EMAIL.test(email) ? "" : t.emailInvalid),
      showError(this.terms, this.terms.checked ? "" : t.termsMissing),
    ].filter(Boolean);
    if (wrong.length) { /** @type {HTMLElement} */ (wrong[0]).focus(); return; }
    this.onPay({ name, email, seconds: this.#choice().seconds, accept_terms: true, terms_version: this.card.terms_version ?? null,
      goes_on: this.goesOn.checked, code: free ? "" : this.codeField?.code ?? "", ...(free ? { free } : {}) });
  }

  /** Show a refusal above the button; none clears it. @param {Node | null} problem */
  showProblem(problem) {
    replace(this.problem, problem);
  }
}

/** What is accepted where a room has no terms of its own. @type {Record<string, string>} */
const TERMS = { metered: t.termsUse, subscription: t.termsSubscription };

/** @param {import("./api.js").SubscriptionTariff} tariff @param {string} price */
const subscribeText = ({ interval, trial_days }, price) => (trial_days ? t.subscribeTrial(trial_days) : t.subscribe[interval](price));

/** What is charged and when, said before the card is asked. @param {import("./api.js").SubscriptionTariff} tariff @param {string} price */
function subscriptionNote({ interval, trial_days }, price) {
  const charged = trial_days ? t.subscribeLater[interval](price, trial_days) : t.subscribeCharged[interval](price);
  return h("section", { class: "use-note stack stack--tight", "aria-labelledby": "use-title" },
    h("h3", { class: "field__label", id: "use-title" }, t.useTitle),
    h("ul", { class: "use-note__lines" }, h("li", null, charged), h("li", null, t.subscribeCancel)));
}

/** Is there a price that a code can lower? @param {Card} card */
const isBoughtWhole = ({ tariff }) => tariff.kind === "entrance" || tariff.kind === "per_minute";

/** @param {string} id */
const errorLine = (id) => h("p", { class: "field__error", id: `${id}-error`, hidden: true });

/** @param {HTMLInputElement} input @param {string} problem @returns {HTMLInputElement | null} the input when it is wrong */
function showError(input, problem) {
  const line = input.closest(".field")?.querySelector(".field__error");
  if (line instanceof HTMLElement) { line.textContent = problem; line.hidden = !problem; }
  if (problem) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
  return problem ? input : null;
}

/** @param {boolean} sandbox */
export function lockLine(sandbox) {
  return h("p", { class: "lock-line" }, icon(sandbox ? "flask" : "lock"), h("span", null, sandbox ? t.lockLineSandbox : t.lockLine));
}
