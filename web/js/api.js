/** The HTTP API, one function per call (signaling/API.md). No DOM. Answers are returned as they are; refusals are thrown. */

/**
 * A refusal. `code` is the API's stable one, or `offline` when nobody answered, or `unreadable` when the answer was not the API's.
 */
export class ApiError extends Error {
  /** @param {string} code @param {string} message @param {number} status 0 without an answer @param {string} [field] */
  constructor(code, message, status, field) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.status = status;
    this.field = field;
  }
}

const TIMEOUT_MS = 20_000;

/**
 * On a server with live and test keys, a page in the test books says so, and what it asks about a person or the operator's business is asked of those books.
 * Calls that name a room or an order need it not.
 */
export const pageMode = globalThis.document?.querySelector?.('meta[name="tollroom-mode"]')?.getAttribute("content") ?? null;
/** Whether this server has a set of keys for test mode beside its live one. */
export const hasTestMode = globalThis.document?.querySelector?.('meta[name="tollroom-modes"]') != null;
/** The address of a page about a person or a business, in the books of this one. @param {string} path */
export const pageInMode = (path) => (pageMode ? `${path}?mode=${pageMode}` : path);
const BY_MODE = ["/api/config", "/api/me/", "/api/wallets/", "/api/admin/"];

/** @param {string} path @param {string | null} [mode] */
export function inMode(path, mode = pageMode) {
  if (!mode || !BY_MODE.some((start) => path.startsWith(start))) return path;
  return `${path}${path.includes("?") ? "&" : "?"}mode=${encodeURIComponent(mode)}`;
}

/** @typedef {{body?: object, secret?: string | null, signal?: AbortSignal}} CallOptions `secret` goes into `Authorization: Bearer` */

/**
 * @param {string} method @param {string} path
 * @param {CallOptions & {session?: {csrf_token?: string}}} [options] `session`: the call is made as the person who is signed in; else no cookie goes along
 * @returns {Promise<any>}
 */
async function call(method, path, { body, secret, signal, session } = {}) {
  const headers = new Headers({ Accept: "application/json" });
  if (secret) headers.set("Authorization", `Bearer ${secret}`);
  if (session?.csrf_token) headers.set("X-CSRF-Token", session.csrf_token);
  if (body) headers.set("Content-Type", "application/json");
  let response;
  try {
    response = await fetch(inMode(path), {
      method, headers, body: body && JSON.stringify(body), credentials: session ? "same-origin" : "omit", cache: "no-store", signal: signal ?? AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError("offline", "The server did not answer.", 0);
  }
  return read(response);
}

/** @param {Response} response */
async function read(response) {
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  const error = answer?.error;
  if (typeof error?.code === "string") throw new ApiError(error.code, String(error.message ?? error.code), response.status, error.field);
  throw new ApiError(response.status >= 502 ? "offline" : "unreadable", "The server gave an answer this page cannot read.", response.status);
}

const enc = encodeURIComponent;

// --- who is signed in ---

/** @typedef {{id: string, email: string, name: string, role: "user" | "host" | "operator", csrf_token: string}} Me */

/** Whether there may be a session: a cookie that says no more than this. A visitor without one is not asked about. */
export const mayBeSignedIn = () => /(?:^|; )tollroom_signed_in=1/.test(globalThis.document?.cookie ?? "");

/** Whether this server signs people in; one that sends no mail cannot. */
export const canSignIn = () => document.body.dataset.mail !== "off";

/** Where somebody signs in, to come back to the path. */
export const signInUrl = (next = location.pathname) => `/signin?next=${enc(next)}`;

/** @type {Promise<Me | null> | null} */
let asked = null;

/** Who is signed in, asked once a page; null for a visitor. @returns {Promise<Me | null>} */
export function whoAmI() {
  if (!mayBeSignedIn()) return Promise.resolve(null);
  asked ??= call("GET", "/api/me", { session: {} }).catch((error) => {
    asked = null;
    if (error.code === "sign_in_required") return null;
    throw error;
  });
  return asked;
}

/** Ask again who it is: the session may be another one since. */
export function forgetMe() { asked = null; }

/**
 * A call as the person who is signed in, or as a visitor when nobody is. For every feature that knows people.
 * @param {string} method @param {string} path @param {CallOptions} [options] @returns {Promise<any>}
 */
export async function callAs(method, path, options = {}) {
  const me = await whoAmI();
  if (!me) return call(method, path, options);
  try {
    return await call(method, path, { ...options, session: me });
  } catch (error) {
    if (/** @type {ApiError} */ (error).code !== "bad_csrf") throw error;
  }
  forgetMe(); // signed in anew in another tab
  return call(method, path, { ...options, session: (await whoAmI()) ?? undefined });
}

/** @param {string} email @param {string} next @returns {Promise<{sent: true}>} */
export const askForLink = (email, next) => call("POST", "/api/signin", { body: { email, next } });

/** @param {string} token @returns {Promise<Me & {next: string}>} */
export const openLink = (token) => { forgetMe(); return call("POST", "/api/signin/open", { body: { token }, session: {} }); };

export const signOut = () => callAs("POST", "/api/signout", { body: {} }).finally(forgetMe);

/** @param {string} name @returns {Promise<Me>} */
export const rename = (name) => callAs("PATCH", "/api/me", { body: { name } });

/** For good: name and address go. */
export const eraseMe = () => callAs("DELETE", "/api/me").finally(forgetMe);

/** @returns {Promise<{sessions: {id: string, created_at: string, current: boolean}[]}>} */
export const getSessions = () => callAs("GET", "/api/me/sessions");

/**
 * @typedef {{order_id: string, room: {slug: string, title: string} | null, purpose: string, extends: boolean, funding: string, state: string, pass_state: string | null,
 *   opens: boolean, used_ms: number | null, amount_minor: number, paid_minor: number | null, refunded_minor: number, lost_minor: number, currency: string,
 *   paid_at: string | null}} Purchase
 */
/**
 * @typedef {{id: string, slug: string, title: string, state: string, live: boolean, created_at: string, share_url: string,
 *   earnings: {gross: Money, refunded: Money, net: Money, payers: number}}} OwnRoom
 */

/** @param {string | null} before @returns {Promise<{orders: Purchase[], next: string | null}>} */
export const getPurchases = (before) => callAs("GET", `/api/me/orders${before ? `?before=${enc(before)}` : ""}`);

/** @param {string | null} before @returns {Promise<{rooms: OwnRoom[], next: string | null}>} */
export const getOwnRooms = (before) => callAs("GET", `/api/me/rooms${before ? `?before=${enc(before)}` : ""}`);

/** Takes what was bought without an account into one's history. @param {string} order_id @param {string} secret @returns {Promise<{order_id: string, owned: true}>} */
export const keepOrder = (order_id, secret) => callAs("POST", "/api/me/orders", { body: { order_id }, secret });

/** Takes a room that was opened without an account among one's own. @param {string} room_id @param {string} secret its host key @returns {Promise<{room_id: string, owned: true}>} */
export const keepRoom = (room_id, secret) => callAs("POST", "/api/me/rooms", { body: { room_id }, secret });

/** Signs out everywhere else. @returns {Promise<{ended: number}>} */
export const endOtherSessions = () => callAs("DELETE", "/api/me/sessions");

/** @typedef {import("./format.js").Money} Money */
/** @typedef {{code: string, exponent: number, step: number, minimum_minor: number}} CurrencyRule */
/** @typedef {{mode: string, modes: string[], default_mode: string, test_rooms: "invited" | "anyone" | "operator" | null, sandbox: boolean, room_creation: string, checkout_ui: string, publishable_key: string | null, currencies: CurrencyRule[]}} Config */
/** @typedef {{kind: "entrance", price_minor: number, currency: string, seconds: number | null, free_seconds?: number}} EntranceTariff */
/** @typedef {{kind: "per_minute", rate_minor_per_min: number, currency: string, presets_s: number[], free_seconds?: number}} PerMinuteTariff */
/** @typedef {{kind: "metered", rate_minor_per_min: number, currency: string, window_s: number, max_seconds?: number, minimum?: "waive_first" | "charge"}} MeteredTariff */
/** @typedef {{kind: "wallet", rate_minor_per_min: number, currency: string, max_seconds?: number}} WalletTariff */
/** @typedef {{kind: "subscription", price_minor: number, currency: string, interval: "month" | "year", trial_days: number}} SubscriptionTariff */
/** @typedef {{kind: "free", currency: string, seconds: number | null}} FreeTariff */
/** @typedef {EntranceTariff | PerMinuteTariff | MeteredTariff | WalletTariff | SubscriptionTariff | FreeTariff} Tariff */
/** @typedef {{number: number, seconds: number, held_minor: number, charged_minor: number | null, state: string, failure: string | null}} UseWindow */
/**
 * What is held and what was charged of a call that is paid for by use; null: not settled.
 * @typedef {{used_ms: number, held_minor: number, charged_minor: number | null, released_minor: number | null, settled: boolean, goes_on: boolean,
 *   can_go_on: boolean, windows: UseWindow[]}} Use
 */
/** @typedef {{seconds: number | null, price: Money | number}} Choice */
/**
 * @typedef {{slug: string, title: string, description: string, host_name: string, tariff: Tariff, currency: string, privacy: "confidential" | "conference",
 *   choices: Choice[], smallest_charge?: Money | null, live: boolean, state: "away" | "live" | "full" | "locked" | "unpriced" | "closed", seats_left: number | null, terms_url: string | null,
 *   terms_version?: string | null, mode: string, share_url: string}} Card
 */
/** @typedef {{ui: "hosted", url: string} | {ui: "embedded", client_secret: string, publishable_key: string} | {ui: "frame", url: string} | {ui: "confirm", client_secret: string, publishable_key: string}} Checkout */
/** @typedef {{price_minor: number, credit_minor: number, currency: string}} Package */
/** @typedef {{id: string, brand: string, last4: string, exp_month: number, exp_year: number}} KeptCard */
/**
 * A person's credits of one currency. @typedef {{currency: string, balance_minor: number, available_minor: number, held_minor: number, frozen_minor: number, owed_minor: number,
 *   managed_by: "stripe" | "platform", packages: Package[], auto: {on: boolean, package: number | null, payment_method_id: string | null}, cards: KeptCard[]}} Wallet
 */
/** @typedef {{id: string, at: string, kind: string, amount_minor: number, order_id: string | null, title: string | null}} WalletLine */
/** @typedef {{id: string, state: "waiting" | "active" | "used_up" | "refunded" | "disputed" | "revoked", granted_ms: number | null, used_ms: number, remaining_ms: number | null}} Pass */
/**
 * @typedef {{order_id: string, state: string, room: {slug: string, title: string}, amount_minor: number, currency: string, seconds: number | null,
 *   checkout?: Checkout | null, failure?: any, pass?: Pass | null, refund?: any, waits?: boolean, funding?: string, owned?: boolean, use?: Use | null, subscription?: Subscription | null}} Order
 */
/** @typedef {{title: string, description: string, host_name: string, tariff: Tariff, privacy: string, capacity?: number, max_seconds?: number, terms_url?: string, mode?: string}} NewRoom */
/** @typedef {{id: string, slug: string, share_url: string, host_url: string, host_key: string}} CreatedRoom */
/** @typedef {{order_id: string, name: string, email?: string, seconds?: number | null, extends?: string, extends_secret?: string, accept_terms: boolean, terms_version?: string, code?: string, free?: boolean, goes_on?: boolean, ui?: "hosted" | "embedded"}} NewOrder */

/** @returns {Promise<Config>} */
export const getConfig = () => call("GET", "/api/config");

/** @param {NewRoom} room @param {string | null} invitation @returns {Promise<CreatedRoom>} */
export const createRoom = (room, invitation) => callAs("POST", "/api/rooms", { body: room, secret: invitation });

/** @param {string} slug @returns {Promise<Card>} */
export const getCard = (slug) => call("GET", `/api/rooms/${enc(slug)}`);

/** Where the card's changes are told (Server-Sent Events). @param {string} slug */
export const cardEventsUrl = (slug) => `/api/rooms/${enc(slug)}/events`;

/** @param {string} slug */
export const qrUrl = (slug) => `/api/rooms/${enc(slug)}/qr.svg`;

/** @param {string} slug @param {NewOrder} order @param {string} secret */
export const createOrder = (slug, order, secret) => callAs("POST", `/api/rooms/${enc(slug)}/orders`, { body: order, secret });

/** Of who is signed in. @returns {Promise<{wallets: Wallet[]}>} */
export const getWallets = () => callAs("GET", "/api/me/wallets");

/** With its history. @param {string} currency @param {string | null} [before] @returns {Promise<Wallet & {history: WalletLine[], next: string | null}>} */
export const getWallet = (currency, before) => callAs("GET", `/api/me/wallets/${enc(currency)}${before ? `?before=${enc(before)}` : ""}`);

/** @param {string} currency @param {{on: boolean, package?: number, payment_method_id?: string}} choice @returns {Promise<Wallet>} */
export const setAutoTopUp = (currency, choice) => callAs("PUT", `/api/wallets/${enc(currency)}/auto`, { body: choice });

/** The card is charged no more. @param {string} id @returns {Promise<{wallets: Wallet[]}>} */
export const forgetCard = (id) => callAs("DELETE", `/api/me/cards/${enc(id)}`);

/**
 * @typedef {{order_id: string, package: number, price_minor: number, accept_terms: boolean, save_card?: boolean, payment_method_id?: string, ui?: "hosted" | "embedded"}} NewTopup
 * @param {string} currency @param {NewTopup} topup @param {string} secret
 */
export const createTopup = (currency, topup, secret) => callAs("POST", `/api/wallets/${enc(currency)}/topups`, { body: topup, secret });

/** @typedef {{list_minor: number, discount_minor: number, fee_on_top_minor: number, raised_minor: number, amount_minor: number, currency: string}} Quote */

/**
 * @typedef {{id: string, order_id: string, room: {slug: string, title: string}, status: string, price: Money, interval: "month" | "year", current_period_end: string,
 *   cancel_at_period_end: boolean, access_until: string | null}} Subscription
 */

/** @returns {Promise<{subscriptions: Subscription[]}>} */
export const getSubscriptions = () => callAs("GET", "/api/me/subscriptions");

/** Where the payment service lets one change card and subscription. @param {string} id @returns {Promise<{url: string}>} */
export const openPortal = (id) => callAs("POST", `/api/me/subscriptions/${enc(id)}/portal`, { body: {} });

/** Asks the payment service what has changed. @param {string} id @returns {Promise<{subscriptions: Subscription[]}>} */
export const refreshSubscription = (id) => callAs("POST", `/api/me/subscriptions/${enc(id)}/refresh`, { body: {} });

/** What an order would cost now. @param {string} slug @param {{seconds?: number, email?: string, code?: string}} asked @returns {Promise<Quote>} */
export const getQuote = (slug, asked) => callAs("POST", `/api/rooms/${enc(slug)}/quote`, { body: asked });

/** An order is opened by its secret, or without one by who was signed in for it. @param {string} method @param {string} path @param {CallOptions} options */
const asPayer = (method, path, options) => (options.secret ? call : callAs)(method, path, options);

/** @param {string} id @param {string | null} secret @returns {Promise<Order>} */
export const getOrder = (id, secret) => asPayer("GET", `/api/orders/${enc(id)}`, { secret });

/** Asks the payment service now. @param {string} id @param {string | null} secret @returns {Promise<Order>} */
export const refreshOrder = (id, secret) => asPayer("POST", `/api/orders/${enc(id)}/refresh`, { secret, body: {} });

/** @param {string} id @param {string} secret @returns {Promise<Order>} */
export const cancelOrder = (id, secret) => call("POST", `/api/orders/${enc(id)}/cancel`, { secret, body: {} });

/** @param {string} id @param {string | null} secret @param {boolean} wait @returns {Promise<Order>} */
export const setWait = (id, secret, wait) => asPayer("POST", `/api/orders/${enc(id)}/wait`, { secret, body: { wait } });

/** Whether further holds on the same card may follow. @param {string} id @param {string | null} secret @param {boolean} goes_on @returns {Promise<Order>} */
export const setGoesOn = (id, secret, goes_on) => asPayer("POST", `/api/orders/${enc(id)}/goes_on`, { secret, body: { goes_on } });

/** @param {string} id @param {string | null} secret @returns {Promise<{url: string}>} */
export const makeLink = (id, secret) => asPayer("POST", `/api/orders/${enc(id)}/link`, { secret, body: {} });

/** @param {string} id @param {string | null} secret @returns {Promise<any>} */
export const getReceipt = (id, secret) => asPayer("GET", `/api/orders/${enc(id)}/receipt`, { secret });

/** @param {string} id @param {string} secret @returns {Promise<{token: string, ws_url: string, expires_at: string}>} */
export const orderToken = (id, secret) => call("POST", `/api/orders/${enc(id)}/token`, { secret, body: {} });

/** A room is opened by its host key, or without one by its owner who is signed in. @param {string} method @param {string} path @param {CallOptions} options */
const asHost = (method, path, options) => (options.secret ? call : callAs)(method, path, options);

/** @param {string} room_id @param {string | null} host_key @returns {Promise<{token: string, ws_url: string, expires_at: string}>} */
export const hostToken = (room_id, host_key) => asHost("POST", "/api/host/token", { secret: host_key, body: { room_id } });

/** @param {string} room_id @param {string | null} host_key */
export const getHostRoom = (room_id, host_key) => asHost("GET", `/api/host/rooms/${enc(room_id)}`, { secret: host_key });

/**
 * @typedef {{order_id: string, name: string, state: string, paid_at: string | null, paid_minor: number | null, refunded_minor: number, lost_minor: number, currency: string,
 *   invoices?: {invoice_id: string, amount_minor: number, refunded_minor: number, currency: string, created_at: string}[]}} RoomSale
 * What was sold in a room of who is signed in, and to whom. @param {string} room_id @param {string | null} before @returns {Promise<{sales: RoomSale[], next: string | null}>}
 */
export const getRoomSales = (room_id, before) => callAs("GET", `/api/host/rooms/${enc(room_id)}/sales${before ? `?before=${enc(before)}` : ""}`);

/** Gives back of one of them. @param {string} room_id @param {Record<string, any>} body @returns {Promise<import("./giveback.js").Asked>} */
export const askHostRefund = (room_id, body) => callAs("POST", `/api/host/rooms/${enc(room_id)}/refunds`, { body });

/** The room's key for an encoder: asked about, made anew, taken back. @param {"GET"|"POST"|"DELETE"} method @param {string} room_id @param {string | null} host_key @returns {Promise<import("./streamkey.js").StreamKey>} */
export const roomStreamKey = (method, room_id, host_key) => asHost(method, `/api/host/rooms/${enc(room_id)}/stream-key`, { secret: host_key });

/** The order's key for a player. @param {"GET"|"POST"|"DELETE"} method @param {string} id @param {string} secret @returns {Promise<import("./streamkey.js").StreamKey>} */
export const orderStreamKey = (method, id, secret) => call(method, `/api/orders/${enc(id)}/stream-key`, { secret });

/** @param {string} room_id @param {string | null} host_key @returns {Promise<{host_key: string, host_url: string}>} */
export const rotateHostKey = (room_id, host_key) => asHost("POST", `/api/host/rooms/${enc(room_id)}/key`, { secret: host_key, body: {} });
