/**
 * This browser's orders: their ids and secrets, and which order belongs to which room. They live in localStorage, because a payer who
 * comes back tomorrow must still be let in; a secret leaves the browser only as `Authorization: Bearer`. No DOM.
 *
 * Stored: `tollroom:order:<order_id>` → {secret, slug, created_at}, `tollroom:room:<slug>` → order_id.
 */

const ORDER = "tollroom:order:";
const ROOM = "tollroom:room:";
/** More orders than this and the oldest are forgotten, so that storage cannot fill up. */
const ORDERS_MAX = 200;

/** @typedef {{secret: string, slug: string | null, created_at: number}} StoredOrder */
/** @typedef {{order_id: string, secret: string}} OrderKey */

/** base64url of random bytes. @param {number} count @returns {string} */
export function randomText(count) {
  const bytes = crypto.getRandomValues(new Uint8Array(count));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** A new order's id (128 random bits, public) and secret (32 bytes). Nothing is stored yet. @returns {OrderKey} */
export function newOrderKey() {
  return { order_id: `ord_${randomText(16)}`, secret: randomText(32) };
}

/** Where things are kept when a browser refuses localStorage (private modes): until the page is left. @type {Map<string, string>} */
const fallback = new Map();

/** @param {string} key @returns {string | null} */
function read(key) {
  try {
    return localStorage.getItem(key) ?? fallback.get(key) ?? null;
  } catch {
    return fallback.get(key) ?? null;
  }
}

/** @param {string} key @param {string} value */
function write(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    fallback.set(key, value);
  }
}

/** @param {string} key */
function erase(key) {
  fallback.delete(key);
  try {
    localStorage.removeItem(key);
  } catch {
    // Nothing is kept there either.
  }
}

/** Will orders still be known after leaving this page? A payment page elsewhere needs that. */
export function storageWorks() {
  const probe = `${ORDER}probe`;
  try {
    localStorage.setItem(probe, "1");
    localStorage.removeItem(probe);
    return true;
  } catch {
    return false;
  }
}

/**
 * Keep an order's secret. With a slug it becomes that room's current order, unless `current` is false (an order that only adds time).
 * @param {OrderKey} key @param {string | null} slug @param {{current?: boolean, now?: number}} [options]
 */
export function saveOrder({ order_id, secret }, slug, { current = true, now = Date.now() } = {}) {
  forgetOldest();
  write(ORDER + order_id, JSON.stringify({ secret, slug, created_at: now }));
  if (slug && current) write(ROOM + slug, order_id);
}

/** @param {string} order_id @returns {StoredOrder | null} */
export function storedOrder(order_id) {
  try {
    const found = JSON.parse(read(ORDER + order_id) ?? "null");
    return typeof found?.secret === "string" ? found : null;
  } catch {
    return null;
  }
}

/** @param {string} order_id @returns {string | null} */
export const secretOf = (order_id) => storedOrder(order_id)?.secret ?? null;

/** The order this browser last made or was given for a room. @param {string} slug @returns {OrderKey | null} */
export function currentOrder(slug) {
  const order_id = read(ROOM + slug);
  const secret = order_id && secretOf(order_id);
  return order_id && secret ? { order_id, secret } : null;
}

/** The room starts afresh here; the order's secret stays, for its receipt. @param {string} slug */
export function forgetCurrentOrder(slug) {
  erase(ROOM + slug);
}

function forgetOldest() {
  const keys = storedKeys();
  if (keys.length < ORDERS_MAX) return;
  const aged = keys.map((key) => ({ key, created_at: storedOrder(key.slice(ORDER.length))?.created_at ?? 0 }));
  aged.sort((a, b) => a.created_at - b.created_at);
  for (const { key } of aged.slice(0, keys.length - ORDERS_MAX + 1)) erase(key);
}

function storedKeys() {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(ORDER));
  } catch {
    return [];
  }
}

/** The payer's name and address, so that "pay again" does not ask twice. @returns {{name: string, email: string}} */
export function rememberedPayer() {
  try {
    const { name = "", email = "" } = JSON.parse(read("tollroom:payer") ?? "{}");
    return { name: String(name), email: String(email) };
  } catch {
    return { name: "", email: "" };
  }
}

/** @param {{name: string, email: string}} payer */
export function rememberPayer({ name, email }) {
  write("tollroom:payer", JSON.stringify({ name, email }));
}

/**
 * A secret out of the address' fragment (`#secret=…`), which is then removed from the address bar and the history.
 * @param {string} name @returns {string | null}
 */
export function takeFragment(name) {
  const found = new URLSearchParams(location.hash.slice(1)).get(name);
  if (found) history.replaceState(history.state, "", location.pathname + location.search);
  return found;
}
