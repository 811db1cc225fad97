/** The payment sandbox's dashboard: payments and events, with what a merchant could do about them. Loopback only. */

import { banner, button, byId, h, replace, toast } from "./dom.js";
import { formatMoney } from "./format.js";

/**
 * @typedef {{session: string, client_reference_id: string | null, status: string, payment_status: string, currency: string, created: number,
 *   amount_minor: number, captured_minor: number, refunded_minor: number, dispute_lost_minor: number, dispute_open_minor: number}} Payment
 * @typedef {{id: string, type: string, created: number, subject: string, state: string, attempts: number, last_outcome: string | null}} SandboxEvent
 */

/** @param {string} path @param {object} [body] POST when given @returns {Promise<any>} */
async function call(path, body) {
  const response = await fetch(`/_control/${path}`, {
    method: body ? "POST" : "GET", headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body), cache: "no-store",
  });
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Error(answer?.error?.message ?? `The sandbox answered ${response.status}`);
  return answer;
}

async function refresh() {
  try {
    const [{ payments }, { events }] = await Promise.all([call("payments"), call("events")]);
    replace(byId("problem"));
    replace(byId("payments"), table(["Order", "State", "Amount", "Captured", "Refunded", "When", "Do"], payments.map(paymentRow), "No payment yet."));
    replace(byId("events"), table(["Event", "About", "Delivery", "When", "Do"], events.map(eventRow), "No event yet."));
  } catch (error) {
    complain(error);
  }
}

/** @param {unknown} error */
function complain(error) {
  replace(byId("problem"), banner("danger", { text: error instanceof Error ? error.message : String(error) }));
}

/** @param {string[]} heads @param {HTMLElement[]} rows @param {string} empty */
function table(heads, rows, empty) {
  if (!rows.length) return h("p", { class: "muted" }, empty);
  return h("table", null, h("thead", null, h("tr", null, heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", null, rows));
}

/** @param {Payment} payment */
function paymentRow(payment) {
  const money = (/** @type {number} */ amount_minor) => h("td", { class: "number" }, formatMoney({ amount_minor, currency: payment.currency }));
  return h("tr", { dataset: { session: payment.session } },
    h("td", null, h("code", null, payment.client_reference_id ?? payment.session)),
    h("td", null, stateOf(payment)), money(payment.amount_minor), money(payment.captured_minor), money(payment.refunded_minor),
    h("td", null, when(payment.created)), h("td", null, h("div", { class: "row" }, actionsOf(payment))));
}

/** @param {Payment} payment */
function stateOf({ status, payment_status, dispute_open_minor, dispute_lost_minor }) {
  if (dispute_open_minor) return "disputed";
  if (dispute_lost_minor) return "dispute lost";
  return status === "complete" ? payment_status : status;
}

/** @param {Payment} payment */
function actionsOf({ session, status, captured_minor, refunded_minor, dispute_open_minor, dispute_lost_minor }) {
  if (status === "open") return [act("Expire", "expire_session", { session })];
  if (dispute_open_minor) return [act("Dispute won", "dispute", { session, action: "won" }), act("Dispute lost", "dispute", { session, action: "lost" })];
  const left_minor = captured_minor - refunded_minor - dispute_lost_minor;
  const reinstate = act("Reinstate", "dispute", { session, action: "reinstated" });
  if (left_minor <= 0) return dispute_lost_minor ? [reinstate] : [];
  const disputes = [act("Dispute", "dispute", { session, action: "open" })];
  if (left_minor > 1) disputes.push(act("Dispute half", "dispute", { session, action: "open", amount_minor: Math.floor(left_minor / 2) }));
  return dispute_lost_minor ? [...disputes, reinstate] : [act("Refund", "refund", { session }), ...disputes];
}

/** @param {SandboxEvent} event */
function eventRow({ id, type, subject, state, attempts, last_outcome, created }) {
  const delivery = `${state}${attempts ? `, ${attempts} ×` : ""}${last_outcome ? ` (${last_outcome})` : ""}`;
  return h("tr", { dataset: { event: id } }, h("td", null, type), h("td", null, h("code", null, subject)), h("td", null, delivery),
    h("td", null, when(created)), h("td", null, act("Resend", "resend", { event: id })));
}

/** @param {string} text @param {string} path @param {object} body */
function act(text, path, body) {
  return button(text, { kind: "small", onClick: () => {
    call(path, body).then(() => { toast(`${text}: done`); return refresh(); }).catch(complain);
  } });
}

/** @param {number} seconds Unix time */
function when(seconds) {
  return new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" }).format(seconds * 1000);
}

byId("refresh").addEventListener("click", () => { void refresh(); });
void refresh();
