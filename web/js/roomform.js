/** What the form for a new room says: the room it describes, what is missing, what is wrong. Pure: no DOM. */

import { formatLength, formatMoney, parseAmount } from "./format.js";
import { en } from "./strings/en.js";

/** @typedef {import("./api.js").CurrencyRule} CurrencyRule */
/** @typedef {import("./api.js").NewRoom} NewRoom */
/** @typedef {import("./api.js").Tariff} Tariff */
/**
 * The form as typed. Lengths are minutes as text; `presets` those ticked, `other` the one typed beside them, `window` what is held
 * at a time; `free` minutes before time is bought; `interval` and `trial` are a subscription's.
 * @typedef {{title: string, description: string, host_name: string, kind: "entrance" | "per_minute" | "unlimited" | "metered" | "wallet" | "subscription" | "free",
 *   price: string, minutes: string, presets: string[], other: string, window: string, free: string, interval: string, trial: string, privacy: "confidential" | "conference", capacity: string, terms_url: string}} RoomForm
 */
/** @typedef {{room: NewRoom | null, tariff: Tariff | null, missing: string[], problems: Record<string, string>}} Reading
 *   `room` only when nothing is missing or wrong; `problems` by field */

export const AMOUNT_MAX_MINOR = 99_999_999;
const MINUTES_MAX = 1440;
const TRIAL_DAYS_MAX = 90;
const FREE_MINUTES_MAX = 60;
/** Sold in time, some of which may be free at first. @type {Set<RoomForm["kind"]>} */
export const MAY_BE_FREE = new Set(["entrance", "per_minute"]);
/** Sold by the minute: the price is a rate, which may be below what one card payment can be. @type {Set<RoomForm["kind"]>} */
const RATES = new Set(["per_minute", "metered", "wallet"]);
const CAPACITY_MAX = { confidential: 11, conference: 1000 };

/** @param {RoomForm} form @param {CurrencyRule} rule the chosen currency's @returns {Reading} */
export function readRoomForm(form, rule) {
  /** @type {Record<string, string>} */ const problems = {};
  const texts = { title: form.title.trim(), description: form.description.trim(), host_name: form.host_name.trim() };
  const missing = Object.entries(texts).filter(([, text]) => !text).map(([name]) => name);
  const tariff = readTariff(form, rule, missing, problems);
  const capacity = readCapacity(form, missing, problems);
  const terms_url = readTerms(form, missing, problems);
  const complete = tariff && missing.length === 0 && Object.keys(problems).length === 0;
  const room = complete ? { ...texts, tariff, privacy: form.privacy, ...(capacity ? { capacity } : {}), ...(terms_url ? { terms_url } : {}) } : null;
  return { room, tariff, missing, problems };
}

/** @param {RoomForm} form @param {CurrencyRule} rule @param {string[]} missing @param {Record<string, string>} problems @returns {Tariff | null} */
function readTariff(form, rule, missing, problems) {
  const currency = rule.code;
  const timed = form.kind === "entrance" || form.kind === "per_minute" || form.kind === "free";
  const minor = form.kind === "free" ? 0 : readPrice(form.price, rule, !RATES.has(form.kind), missing, problems);
  const lengths = timed ? readLengths(form, missing, problems) : [];
  const free = readFree(form, missing, problems);
  if (minor === null || (timed && lengths.length === 0)) return null;
  if (form.kind === "free") return { kind: "free", currency, seconds: lengths[0] };
  if (form.kind === "metered") return readMetered(form, minor, rule, missing, problems);
  if (form.kind === "wallet") return { kind: "wallet", rate_minor_per_min: minor, currency };
  if (form.kind === "subscription") return readSubscription(form, minor, currency, missing, problems);
  if (form.kind === "unlimited") return { kind: "entrance", price_minor: minor, currency, seconds: null };
  if (form.kind === "entrance") return { kind: "entrance", price_minor: minor, currency, seconds: lengths[0], ...free };
  checkPresets(lengths[0], minor, rule, missing, problems);
  return { kind: "per_minute", rate_minor_per_min: minor, currency, presets_s: lengths, ...free };
}

/** @param {RoomForm} form @param {string[]} missing @param {Record<string, string>} problems @returns {{free_seconds?: number}} */
function readFree({ kind, free }, missing, problems) {
  const text = free.trim();
  if (!MAY_BE_FREE.has(kind) || !text || text === "0") return {};
  if (/^\d+$/.test(text) && Number(text) <= FREE_MINUTES_MAX) return { free_seconds: Number(text) * 60 };
  problems.free_minutes = en.landing.freeRange(FREE_MINUTES_MAX);
  missing.push("free_minutes");
  return {};
}

/** @param {RoomForm} form @param {number} rate @param {CurrencyRule} rule @param {string[]} missing @param {Record<string, string>} problems @returns {Tariff} */
function readMetered(form, rate, rule, missing, problems) {
  const window_s = Number(form.window || 15) * 60;
  checkPresets(window_s, rate, rule, missing, problems);
  return { kind: "metered", rate_minor_per_min: rate, currency: rule.code, window_s };
}

/** @param {RoomForm} form @param {number} price_minor @param {string} currency @param {string[]} missing @param {Record<string, string>} problems @returns {Tariff} */
function readSubscription({ interval, trial }, price_minor, currency, missing, problems) {
  const days = trial.trim();
  if (days && (!/^\d+$/.test(days) || Number(days) > TRIAL_DAYS_MAX)) {
    problems.lengths = en.landing.trialRange(TRIAL_DAYS_MAX);
    missing.push("lengths");
  }
  return { kind: "subscription", price_minor, currency, interval: interval === "year" ? "year" : "month", trial_days: Number(days) || 0 };
}

/**
 * @param {string} text @param {CurrencyRule} rule @param {boolean} whole it is charged as it stands (a rate is not)
 * @param {string[]} missing @param {Record<string, string>} problems @returns {number | null}
 */
function readPrice(text, rule, whole, missing, problems) {
  if (!text.trim()) { missing.push("price"); return null; }
  const minor = parseAmount(text, rule.exponent);
  const problem = minor === null || minor === 0 ? en.landing.priceUnreadable : priceProblem(minor, rule, whole);
  if (!problem) return minor;
  problems.price = problem;
  missing.push("price");
  return null;
}

/** @param {number} minor @param {CurrencyRule} rule @param {boolean} whole @returns {string | null} */
function priceProblem(minor, rule, whole) {
  const words = (/** @type {number} */ amount_minor) => formatMoney({ amount_minor, currency: rule.code });
  if (minor > AMOUNT_MAX_MINOR) return en.landing.priceTooHigh;
  if (whole && minor < rule.minimum_minor) return en.landing.priceBelow(words(rule.minimum_minor));
  if (whole && minor % rule.step) return en.landing.priceStep(words(rule.step));
  return null;
}

/** @param {RoomForm} form @param {string[]} missing @param {Record<string, string>} problems @returns {number[]} seconds, ascending */
function readLengths(form, missing, problems) {
  const typed = form.kind !== "per_minute" ? [form.minutes === "other" ? form.other : form.minutes] : [...form.presets, form.other];
  const minutes = typed.map((text) => text.trim()).filter(Boolean);
  const wrong = minutes.some((text) => !/^\d+$/.test(text) || Number(text) < 1 || Number(text) > MINUTES_MAX);
  if (wrong) problems.lengths = en.landing.lengthRange;
  if (wrong || minutes.length === 0) { missing.push("lengths"); return []; }
  return [...new Set(minutes.map((text) => Number(text) * 60))].sort((a, b) => a - b);
}

/** Can the shortest length be paid by card? @param {number} shortest_s @param {number} rate @param {CurrencyRule} rule @param {string[]} missing @param {Record<string, string>} problems */
function checkPresets(shortest_s, rate, rule, missing, problems) {
  if ((rate * shortest_s) / 60 >= rule.minimum_minor) return;
  const least = formatMoney({ amount_minor: rule.minimum_minor, currency: rule.code });
  problems.price = en.landing.lengthTooCheap(formatLength(shortest_s), least);
  missing.push("price");
}

/** @param {RoomForm} form @param {string[]} missing @param {Record<string, string>} problems @returns {number | null} */
function readCapacity({ capacity, privacy }, missing, problems) {
  const text = capacity.trim();
  if (!text) return null;
  const seats = /^\d+$/.test(text) ? Number(text) : 0;
  if (seats >= 1 && seats <= CAPACITY_MAX[privacy]) return seats;
  problems.capacity = en.landing.seatsRange(CAPACITY_MAX[privacy]);
  missing.push("capacity");
  return null;
}

/** @param {RoomForm} form @param {string[]} missing @param {Record<string, string>} problems @returns {string | null} */
function readTerms({ terms_url }, missing, problems) {
  const text = terms_url.trim();
  if (!text) return null;
  if (/^https?:\/\/[^\s"<>]+$/.test(text) && URL.canParse(text)) return text;
  problems.terms_url = en.landing.termsInvalid;
  missing.push("terms");
  return null;
}
