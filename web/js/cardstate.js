/** What the public card's panel shows, from the room's card and this visitor's order. Pure: no DOM. */

/** @typedef {import("./api.js").Card} Card */
/** @typedef {import("./api.js").Order} Order */
/** @typedef {"loading" | "paid" | "pending" | "processing" | "continue" | "checking" | "form" | "away" | "full" | "locked" | "unpriced" | "closed"} Panel */
/** @typedef {"failed" | "expired" | "canceled" | "refunded" | "used_up" | "revoked" | "disputed" | null} Notice */
/** @typedef {{panel: Panel, notice: Notice}} View */

/** What the room itself allows to a newcomer. @type {Record<Card["state"], Panel>} */
const BY_ROOM = { live: "form", away: "away", full: "full", locked: "locked", unpriced: "unpriced", closed: "closed" };

/** What has become of an order that opens nothing (any more). @type {Record<string, Notice>} */
const BY_ORDER = { failed: "failed", expired: "expired", canceled: "canceled", refunded: "refunded", disputed: "disputed" };
/** @type {Record<string, Notice>} */
const BY_PASS = { used_up: "used_up", revoked: "revoked", refunded: "refunded", disputed: "disputed" };

/**
 * `panel` is the main thing; `notice` what has become of the order before, above it.
 * @param {Card} card @param {Order | null} order the visitor's order for this room @returns {View}
 */
export function cardView(card, order) {
  const room = BY_ROOM[card.state] ?? "closed";
  if (!order) return { panel: room, notice: null };
  if (order.pass) return passView(room, order.pass.state);
  return orderView(room, order);
}

/** @param {Panel} room @param {string} state @returns {View} */
function passView(room, state) {
  if (state !== "waiting" && state !== "active") return { panel: room, notice: BY_PASS[state] ?? null };
  return { panel: room === "closed" ? "closed" : "paid", notice: null };
}

/** @param {Panel} room @param {Order} order @returns {View} */
function orderView(room, { state, checkout }) {
  if (state === "paid") return { panel: "processing", notice: null };
  if (state === "quarantined") return { panel: "checking", notice: null };
  if (state === "new" || state === "payment_pending") return { panel: "pending", notice: null };
  if (state === "open") return { panel: checkout ? "continue" : "pending", notice: null };
  return { panel: room, notice: BY_ORDER[state] ?? null };
}

/** Is the order one whose answer is still to come, so that it is asked about again? @param {Order | null} order */
export function isUnsettled(order) {
  if (!order || order.pass) return false;
  return ["new", "open", "payment_pending", "paid", "quarantined"].includes(order.state);
}

/** May this order's visitor go in? @param {Order | null} order */
export function opensRoom(order) {
  return order?.pass?.state === "waiting" || order?.pass?.state === "active";
}

/**
 * Is there time that is paid for and cannot be used now, so that it goes back by itself unless the payer keeps it? Of an unlimited
 * pass that was used nothing goes back, so there is nothing to decide.
 * @param {Order | null} order @param {Card} card
 */
export function isUnserved(order, card) {
  if (card.live || card.state === "closed" || !opensRoom(order)) return false;
  return isRefundable(order);
}

/** Would something of this order go back if the host stayed away? @param {Order | null} order */
export function isRefundable(order) {
  if (!order?.pass || order.use || order.funding === "free" || order.funding === "subscription") return false; // nothing was charged in advance
  const { remaining_ms, used_ms } = order.pass;
  return remaining_ms === null ? used_ms === 0 : remaining_ms > 0;
}

/** What a form was made for: when it changes, another form is needed. @param {Card} card */
export function offerOf({ tariff, choices, terms_url, terms_version }) {
  return JSON.stringify([tariff, choices, terms_url, terms_version], inOrder);
}

/** The page and its feed write the same card with its names in another order. @param {string} _name @param {any} value */
function inOrder(_name, value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)));
}

const POLL_FIRST_MS = 1000;
const POLL_LAST_MS = 10_000;

/** How long to wait before asking for the n-th time (from 0): quick at first, then calmer. @param {number} n */
export function pollDelay(n) {
  return Math.min(POLL_LAST_MS, POLL_FIRST_MS * 1.5 ** n);
}
