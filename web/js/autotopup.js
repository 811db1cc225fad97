// Topping up unasked: on or off, with which package and which kept card. The server does it, and only during a call.

import { banner, h, replace, toast } from "./dom.js";
import { setAutoTopUp } from "./api.js";
import { formatMoney } from "./format.js";
import { credits as text } from "./strings/credits.en.js";
import { errorText } from "./strings/en.js";

/** @typedef {import("./api.js").Wallet} Wallet */

/** "Visa ending in 4242" @param {import("./api.js").KeptCard} card */
export const cardText = ({ brand, last4 }) => text.cards.name(brand.charAt(0).toUpperCase() + brand.slice(1), last4);

let made = 0;

/** Null where credits are not sold. @param {Wallet} wallet @param {(wallet: Wallet) => void} changed */
export function autoTopUp(wallet, changed) {
  const { packages, cards, auto, currency } = wallet;
  if (packages.length === 0) return null;
  if (cards.length === 0) return h("p", { class: "small muted" }, text.auto.needsCard);
  const name = `auto-${++made}`;
  const problem = h("div", { role: "status" });
  const toggle = h("input", { type: "checkbox", checked: auto.on, id: name, on: { change: () => { save(); } } });
  const amounts = picker(`${name}-package`, packages.map(({ price_minor }, i) => ({ value: String(i), title: formatMoney({ amount_minor: price_minor, currency }) })), String(auto.package ?? 0));
  const kept = picker(`${name}-card`, cards.map((card) => ({ value: card.id, title: cardText(card) })), auto.payment_method_id ?? cards[0].id);
  const save = async () => {
    toggle.disabled = true;
    replace(problem);
    try {
      changed(await setAutoTopUp(currency, toggle.checked ? { on: true, package: Number(amounts.value), payment_method_id: kept.value } : { on: false }));
      toast(toggle.checked ? text.auto.switchedOn : text.auto.switchedOff);
    } catch (error) {
      toggle.checked = auto.on;
      replace(problem, banner("danger", { text: errorText(error) }));
    } finally {
      toggle.disabled = false;
    }
  };
  for (const select of [amounts, kept]) select.addEventListener("change", () => { if (toggle.checked) save(); });
  return h("div", { class: "stack stack--tight", dataset: { auto: auto.on ? "on" : "off" } },
    h("label", { class: "check" }, toggle, h("span", null, text.auto.title)),
    h("p", { class: "field__help" }, text.auto.how),
    h("div", { class: "row" }, labelled(text.auto.amount, amounts), labelled(text.auto.card, kept)), problem);
}

/** @param {string} id @param {{value: string, title: string}[]} options @param {string} chosen */
function picker(id, options, chosen) {
  const select = h("select", { class: "field__input", id }, options.map(({ value, title }) => h("option", { value }, title)));
  if (options.some(({ value }) => value === chosen)) select.value = chosen;
  return select;
}

/** @param {string} label @param {HTMLElement} input */
const labelled = (label, input) => h("div", { class: "field" }, h("label", { class: "field__label", for: input.id }, label), input);
