/** Subscriptions of who is signed in: what they cost, until when they are paid, and the way to change them. */

import { badge, banner, button, h, linkButton, replace, setBusy } from "../dom.js";
import { getSubscriptions, openPortal, pageInMode, refreshSubscription } from "../api.js";
import { formatDateTime, formatMoney } from "../format.js";
import { en, errorText } from "../strings/en.js";
import { people } from "../strings/people.en.js";

/** @typedef {import("../api.js").Subscription} Subscription */

const t = people.me.subscriptions;
const OVER = new Set(["canceled", "incomplete_expired"]);

/** @type {import("../me.js").Section} */
export async function subscriptions() {
  const { subscriptions: all } = await fetched();
  if (all.length === 0) return null;
  return h("section", { class: "card stack", id: "my-subscriptions", "aria-labelledby": "subscriptions-title" },
    h("h2", { id: "subscriptions-title" }, t.title), h("ul", { class: "history" }, all.map((one) => h("li", null, row(one)))));
}

/** The way back from the payment service's page names the subscription that may have changed there. */
async function fetched() {
  const back = new URLSearchParams(location.search).get("subscription");
  if (!back) return getSubscriptions();
  history.replaceState(history.state, "", pageInMode(location.pathname));
  return refreshSubscription(back).catch(() => getSubscriptions());
}

/** @param {Subscription} one */
function row(one) {
  const problem = h("div", { role: "alert" });
  const change = button(t.change, { kind: "small", onClick: async () => {
    setBusy(change, true);
    try {
      location.assign((await openPortal(one.id)).url);
    } catch (error) {
      replace(problem, banner("danger", { text: errorText(error) }));
      setBusy(change, false);
    }
  } });
  return h("div", { class: "history__row", dataset: { status: one.status } },
    h("div", { class: "history__what" }, h("p", { class: "history__title" }, one.room.title), h("p", { class: "small muted" }, note(one)), problem),
    h("p", { class: "history__amount numbers" }, formatMoney(one.price), " ", one.interval === "year" ? en.price.perYear : en.price.perMonth, state(one)),
    h("div", { class: "row" }, !OVER.has(one.status) && change, linkButton(t.open, `/r/${encodeURIComponent(one.room.slug)}`, { kind: "small" })));
}

/** @param {Subscription} one */
function note({ status, current_period_end, cancel_at_period_end, access_until }) {
  const end = formatDateTime(current_period_end);
  if (OVER.has(status)) return t.over;
  if (access_until) return t.lapsing(formatDateTime(access_until));
  if (cancel_at_period_end) return t.ends(end);
  return status === "trialing" ? t.trial(end) : t.renews(end);
}

/** @param {Subscription} one */
function state({ status, cancel_at_period_end, access_until }) {
  if (OVER.has(status)) return badge("", t.badges.over);
  if (access_until) return badge("danger", t.badges.unpaid);
  return cancel_at_period_end ? badge("warning", t.badges.ending) : badge("success", t.badges.active);
}
