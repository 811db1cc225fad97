/** What is due to a host, in one line for each currency; nothing for who never sold anything. */

import { h, linkButton } from "../dom.js";
import { callAs } from "../api.js";
import { formatMoney } from "../format.js";
import { earnings as t } from "../strings/earnings.en.js";

/** @type {import("../me.js").Section} */
export async function earnings() {
  const { balances } = await callAs("GET", "/api/me/earnings");
  if (balances.length === 0) return null;
  /** @param {import("../earnings.js").Balance} one */
  const line = ({ currency, pending_minor, available_minor }) => [
    h("div", null, h("dt", null, t.pending), h("dd", null, formatMoney({ amount_minor: pending_minor, currency }))),
    h("div", null, h("dt", null, t.available), h("dd", null, formatMoney({ amount_minor: available_minor, currency }))),
  ];
  return h("section", { class: "card stack", "aria-labelledby": "earnings-title" },
    h("h2", { id: "earnings-title" }, t.onMe), h("dl", { class: "facts" }, balances.flatMap(line)), h("div", null, linkButton(t.see, "/me/earnings")));
}
