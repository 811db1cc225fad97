/** What needs a person: what failed for good, what was put aside, and where our books and the payment service's differ. */

import { badge, button, h, replace, setBusy, toast } from "../dom.js";
import { callAs } from "../api.js";
import { formatMoney, formatShortDateTime } from "../format.js";
import { attention as t } from "../strings/attention.en.js";
import { errorText } from "../strings/en.js";

/** @typedef {{id: string, order_id: string, amount_minor: number, currency: string, reason: string, created_at: string}} FailedRefund */
/** @typedef {{id: string, kind: string, subject_id: string, note: string | null, created_at: string}} GivenUp */
/** @typedef {{id: string, reason: string, subject_id: string, created_at: string}} PutAside */
/** @typedef {{id: string, kind: string, subject_id: string, ours_minor: number | null, theirs_minor: number | null, currency: string | null, note: string | null, last_seen_at: string}} Difference */
/** @typedef {{id: string, payee: string, amount_minor: number, currency: string, state: string, failure: string | null, created_at: string}} WaitingPayout */
/** @typedef {{refunds: FailedRefund[], outbox: GivenUp[], quarantine: PutAside[], differences: Difference[], payouts: WaitingPayout[]}} Attention */

/** @param {number | null} amount_minor @param {string | null} currency */
const money = (amount_minor, currency) => (amount_minor === null || !currency ? "–" : formatMoney({ amount_minor, currency }));

/** @param {string} name @param {string} facts @param {string} time @param {Element} [action] */
function line(name, facts, time, action) {
  return h("li", { class: "admin__line" },
    h("div", null, h("p", { class: "admin__name" }, name), h("p", { class: "small muted" }, [facts, formatShortDateTime(time)].filter(Boolean).join(" · "))), action);
}

/** @param {string} title @param {Element[]} lines */
function part(title, lines) {
  return lines.length === 0 ? null : h("div", null, h("h3", null, title, " ", badge("warning", String(lines.length))), h("ul", { class: "admin__list" }, lines));
}

/** @type {import("../admin.js").Section} */
export async function attention() {
  const place = h("div", { class: "stack" });
  const show = async () => { replace(place, content(/** @type {Attention} */ (await callAs("GET", "/api/admin/attention")), show)); };
  await show();
  return h("section", { class: "card stack", id: "attention", "aria-labelledby": "attention-title" }, h("h2", { id: "attention-title" }, t.title), place);
}

/** @param {Attention} found @param {() => Promise<void>} show */
function content(found, show) {
  const parts = [
    part(t.outbox, found.outbox.map((one) => line(t.kinds[one.kind] ?? one.kind, `${one.subject_id} · ${one.note ?? ""}`, one.created_at, again(one, show)))),
    part(t.refunds, found.refunds.map((one) => line(money(one.amount_minor, one.currency), one.order_id, one.created_at))),
    part(t.payouts, found.payouts.map((one) => line(money(one.amount_minor, one.currency), `${one.payee} · ${one.failure ?? ""}`, one.created_at))),
    part(t.quarantine, found.quarantine.map((one) => line(one.subject_id, one.reason, one.created_at))),
    part(t.differences, found.differences.map((one) => line(one.subject_id, `${one.kind} · ${t.ours} ${money(one.ours_minor, one.currency)} · ${t.theirs} ${money(one.theirs_minor, one.currency)}`, one.last_seen_at))),
  ].filter(Boolean);
  return parts.length > 0 ? parts : [h("p", { class: "muted" }, t.nothing)];
}

/** @param {GivenUp} one @param {() => Promise<void>} show */
function again(one, show) {
  const press = button(t.again, { kind: "small", "aria-label": `${t.again}: ${one.subject_id}`, onClick: async () => {
    setBusy(press, true);
    try {
      await callAs("POST", `/api/admin/attention/outbox/${encodeURIComponent(one.id)}/retry`, { body: {} });
      await show();
    } catch (error) {
      setBusy(press, false);
      toast(errorText(error), { kind: "danger" });
    }
  } });
  return press;
}
