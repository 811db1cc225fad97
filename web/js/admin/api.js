/** The operator's calls (signaling/API.md, "Rates and codes"). No DOM. */

import { callAs } from "../api.js";

const enc = encodeURIComponent;

/** @typedef {"default" | "role" | "user" | "room"} Scope */
/** @typedef {Record<string, any>} Figures */
/** @typedef {{scope: Scope, subject: string, label?: string | null, figures: Figures, updated_at: string | null, holds?: Record<string, {value: any, from: string}>}} Place */
/** @typedef {{id: string, slug: string, title: string, host_name: string, currency: string}} FoundRoom */
/** @typedef {{id: string, email: string, name: string, role: string}} FoundPerson */
/**
 * @typedef {{id: string, code: string, percent: number | null, amount_minor: number | null, currency: string | null, room: {id: string, title: string | null} | null,
 *   uses: number, uses_left: number | null, once_per_person: boolean, expires_at: string | null, active: boolean, created_at: string}} Code
 */
/** @typedef {{code?: string, percent?: number, amount_minor?: number, currency?: string, room_id?: string, uses?: number, once_per_person?: boolean, expires_at?: string}} NewCode */

/** @param {Scope} scope @param {string} subject */
const placeUrl = (scope, subject) => (scope === "default" ? "/api/admin/rates/default" : `/api/admin/rates/${enc(scope)}/${enc(subject)}`);

/** @returns {Promise<{places: Place[], figures: string[], defaults: Figures}>} */
export const getPlaces = () => callAs("GET", "/api/admin/rates");

/** @param {Scope} scope @param {string} subject @returns {Promise<Place>} */
export const getPlace = (scope, subject) => callAs("GET", placeUrl(scope, subject));

/** @param {Scope} scope @param {string} subject @param {Figures} figures @returns {Promise<Place>} */
export const setPlace = (scope, subject, figures) => callAs("PUT", placeUrl(scope, subject), { body: { figures } });

/** @param {Scope} scope @param {string} subject */
export const clearPlace = (scope, subject) => callAs("DELETE", placeUrl(scope, subject));

/** @param {string} text @returns {Promise<{people: FoundPerson[], rooms: FoundRoom[]}>} */
export const find = (text) => callAs("POST", "/api/admin/find", { body: { text } });

/** @returns {Promise<{promotions: Code[]}>} */
export const getCodes = () => callAs("GET", "/api/admin/promotions");

/** @param {NewCode} code @returns {Promise<Code>} */
export const makeCode = (code) => callAs("POST", "/api/admin/promotions", { body: code });

/** @param {string} id */
export const endCode = (id) => callAs("DELETE", `/api/admin/promotions/${enc(id)}`);

/** @typedef {{default_mode: "live" | "test", test_rooms: "invited" | "anyone" | "operator" | null}} Modes */

/** @returns {Promise<Modes & {sets: {mode: string, account: string}[]}>} */
export const getModes = () => callAs("GET", "/api/admin/modes");

/** @param {Modes} modes */
export const setModes = (modes) => callAs("PUT", "/api/admin/modes", { body: modes });

/** @typedef {import("../api.js").RoomSale & {title: string, purpose: string, funding: string, refunds: {amount_minor: number, state: string, created_at: string}[]}} FoundPurchase */

/** @param {string} order_id @returns {Promise<FoundPurchase>} */
export const getPurchase = (order_id) => callAs("GET", `/api/admin/orders/${enc(order_id)}`);

/** @param {string} order_id @param {Record<string, any>} body @returns {Promise<import("../giveback.js").Asked>} */
export const askRefund = (order_id, body) => callAs("POST", `/api/admin/orders/${enc(order_id)}/refunds`, { body });

/** @returns {Promise<{mode: string, account: string, public_url: string, room_creation: string, checkout_ui: string}>} */
export const getSettings = () => callAs("GET", "/api/admin/settings");
