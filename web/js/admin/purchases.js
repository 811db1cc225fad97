/** One purchase, looked up by its number, to give money back of it. */

import { banner, button, h, replace, setBusy } from "../dom.js";
import { formatMoney, formatShortDateTime } from "../format.js";
import { giveBack, mayGoBack, refusalText } from "../giveback.js";
import { askRefund, getPurchase } from "./api.js";
import { giveback } from "../strings/giveback.en.js";
import { en } from "../strings/en.js";

/** @typedef {import("./api.js").FoundPurchase} FoundPurchase */

const t = giveback.desk;

/** @type {import("../admin.js").Section} */
export async function purchases() {
  const order = h("input", { class: "field__input", id: "purchase-order", name: "order", required: true, maxlength: 64, autocomplete: "off", spellcheck: "false" });
  const press = h("button", { class: "button", type: "submit" }, h("span", null, t.find));
  const place = h("div", { role: "status" });
  const show = async () => {
    setBusy(press, true);
    try {
      replace(place, purchase(await getPurchase(order.value.trim()), show));
    } catch (error) {
      replace(place, banner("danger", { text: refusalText(error) }));
    }
    setBusy(press, false);
  };
  const submit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (order.value.trim()) show();
    else order.focus();
  };
  return h("section", { class: "card stack", id: "purchases", "aria-labelledby": "purchases-title" },
    h("h2", { id: "purchases-title" }, t.title), h("p", { class: "muted" }, t.lead),
    h("form", { class: "me__name", novalidate: true, on: { submit } }, h("div", { class: "field" }, h("label", { class: "field__label", for: "purchase-order" }, t.order), order), press), place);
}

/** @param {FoundPurchase} one @param {() => Promise<void>} show */
function purchase(one, show) {
  const money = (/** @type {number} */ amount_minor) => formatMoney({ amount_minor, currency: one.currency });
  const go = mayGoBack(one) && button(giveback.open, { kind: "small", icon: "receipt", onClick: async () => {
    if (await giveBack(one, one.title, (body) => askRefund(one.order_id, body))) await show();
  } });
  const facts = [one.name, one.paid_at && formatShortDateTime(one.paid_at), one.paid_minor !== null && money(one.paid_minor)].filter(Boolean).join(" · ");
  return h("div", { class: "stack", dataset: { orderId: one.order_id } },
    h("div", { class: "admin__line" }, h("div", null, h("p", { class: "admin__name" }, one.title), h("p", { class: "small muted" }, facts, " · ", en.receipt.states[one.state] ?? one.state)), go),
    h("h3", null, t.refunds),
    one.refunds.length === 0 ? h("p", { class: "muted" }, t.none)
      : h("ul", { class: "admin__list" }, one.refunds.map((back) => h("li", { class: "admin__line", dataset: { refund: back.state } },
        h("div", null, h("p", { class: "admin__name numbers" }, money(back.amount_minor)), h("p", { class: "small muted" }, `${t.states[back.state] ?? back.state} · ${formatShortDateTime(back.created_at)}`))))));
}
