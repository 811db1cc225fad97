/** What was bought while signed in: amounts, time used, refunds, and the way to the receipt. */

import { badge, h, linkButton } from "../dom.js";
import { getPurchases } from "../api.js";
import { formatDateTime, formatMoney, formatUsed } from "../format.js";
import { en } from "../strings/en.js";
import { people } from "../strings/people.en.js";
import { pagedList } from "./pages.js";

/** @typedef {import("../api.js").Purchase} Purchase */

const t = people.me;

/** @type {import("../me.js").Section} */
export async function purchases() {
  const list = await pagedList(async (before) => {
    const { orders, next } = await getPurchases(before);
    return { rows: orders, next };
  }, purchase);
  return h("section", { class: "card stack", id: "my-purchases", "aria-labelledby": "purchases-title" },
    h("h2", { id: "purchases-title" }, t.purchases), list ?? h("p", { class: "muted" }, t.noPurchases));
}

/** @param {Purchase} one */
function purchase(one) {
  const { currency, room } = one;
  const money = (/** @type {number} */ amount_minor) => formatMoney({ amount_minor, currency });
  const amount = one.paid_minor === null ? `${money(one.amount_minor)} ${t.held}` : money(one.paid_minor);
  const notes = [
    one.paid_at && formatDateTime(one.paid_at), one.extends && t.extends, one.used_ms !== null && !one.extends && t.used(formatUsed(one.used_ms)),
    one.refunded_minor > 0 && t.refunded(money(one.refunded_minor)), one.lost_minor > 0 && t.lost(money(one.lost_minor)),
  ].filter(Boolean).join(" · ");
  return h("div", { class: "history__row", dataset: { orderId: one.order_id } },
    h("div", { class: "history__what" }, h("p", { class: "history__title" }, room ? room.title : t.topup), h("p", { class: "small muted" }, notes)),
    h("p", { class: "history__amount numbers" }, amount, one.state !== "paid" && badge("", en.receipt.states[one.state] ?? one.state)),
    h("div", { class: "row" }, one.purpose !== "topup" && linkButton(t.receipt, `/orders/${encodeURIComponent(one.order_id)}`, { kind: one.opens && !one.extends ? "small primary" : "small" })));
}
