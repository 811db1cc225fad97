/** What a room offers, in words: its price, what the price buys, its badges. For the public card and the landing's preview. */

import { h, badge } from "./dom.js";
import { icon } from "./icons.js";
import { formatLength, formatMoney } from "./format.js";
import { en } from "./strings/en.js";

/** @typedef {import("./api.js").Card} Card */
/** @typedef {import("./api.js").Choice} Choice */
/** @typedef {import("./api.js").Tariff} Tariff */

/** A choice's price; the API may give it as an amount of the card's currency. @param {Choice} choice @param {string} currency */
export function choicePrice({ price }, currency) {
  return typeof price === "number" ? { amount_minor: price, currency } : price;
}

/** @param {number | null} seconds */
export const lengthOf = (seconds) => (seconds === null ? en.price.unlimited : formatLength(seconds));

/** The price with what it buys. @param {Tariff} tariff @returns {HTMLElement[]} */
export function priceLines(tariff) {
  if (isOpen(tariff)) return [h("p", { class: "muted" }, en.price.none)];
  if (tariff.kind === "per_minute") {
    return [amount(tariff.rate_minor_per_min, tariff.currency, en.price.perMinute), h("p", { class: "muted" }, tariff.presets_s.map((s) => formatLength(s)).join(" · "))];
  }
  if (tariff.kind === "metered") return [amount(tariff.rate_minor_per_min, tariff.currency, en.price.perMinute), h("p", { class: "muted" }, en.price.forUse)];
  if (tariff.kind === "wallet") return [amount(tariff.rate_minor_per_min, tariff.currency, en.price.perMinute), h("p", { class: "muted" }, en.price.fromCredits)];
  if (tariff.kind === "subscription") return subscriptionLines(tariff);
  if (tariff.kind === "free") return [h("p", { class: "offer__amount" }, en.price.free), h("p", { class: "muted" }, tariff.seconds === null ? en.price.unlimited : en.price.upTo(formatLength(tariff.seconds)))];
  const text = tariff.seconds === null ? en.price.entranceUnlimited : en.price.entrance(formatLength(tariff.seconds));
  return [amount(tariff.price_minor, tariff.currency, en.price.toEnter), h("p", { class: "muted" }, text)];
}

/** Has it no price now, neither of its own nor from the rates? @param {Tariff} tariff */
function isOpen(tariff) {
  const named = "rate_minor_per_min" in tariff ? tariff.rate_minor_per_min : "price_minor" in tariff ? tariff.price_minor : undefined;
  return tariff.kind !== "free" && (typeof named !== "number" || !tariff.currency || (tariff.kind === "per_minute" && !tariff.presets_s));
}

/** @param {import("./api.js").SubscriptionTariff} tariff */
function subscriptionLines({ price_minor, currency, interval, trial_days }) {
  const note = trial_days ? en.price.trial(trial_days) : en.price.subscription;
  return [amount(price_minor, currency, interval === "year" ? en.price.perYear : en.price.perMonth), h("p", { class: "muted" }, note)];
}

/** @param {number} amount_minor @param {string} currency @param {string} unit */
function amount(amount_minor, currency, unit) {
  return h("p", { class: "offer__amount" }, formatMoney({ amount_minor, currency }), h("span", { class: "offer__unit" }, unit));
}

/** @param {{host_name: string, privacy: string, tariff: Tariff}} card @returns {HTMLElement[]} */
export function factLines({ host_name, privacy, tariff }) {
  const counted = "rate_minor_per_min" in tariff || ("seconds" in tariff && tariff.seconds !== null);
  return [
    counted && fact("clock", en.price.clock(host_name)),
    privacy === "confidential" ? fact("people", en.card.confidential) : fact("sound", en.card.conference),
    refundFact(tariff),
  ].filter((line) => line !== false);
}

/** What becomes of the money when the host does not come. @param {Tariff} tariff */
function refundFact(tariff) {
  if (tariff.kind === "metered" || tariff.kind === "wallet") return fact("refresh", en.card.useLine);
  return tariff.kind !== "free" && tariff.kind !== "subscription" && fact("refresh", en.card.refundLine);
}

/** @param {string} iconName @param {string} text */
const fact = (iconName, text) => h("li", null, icon(iconName), h("span", null, text));

/** @param {{state: Card["state"], seats_left: number | null}} card @returns {HTMLElement[]} */
export function stateBadges({ state, seats_left }) {
  const c = en.card;
  const badges = {
    live: () => badge("live", c.live), away: () => badge("", c.away, "clock"), full: () => badge("warning", c.full, "people"),
    locked: () => badge("", c.locked, "lock"), unpriced: () => badge("", c.unpriced, "info"), closed: () => badge("", c.closed, "door"),
  };
  const few = state === "live" && typeof seats_left === "number" && seats_left > 0 && seats_left <= 5;
  return [badges[state](), ...(few ? [badge("", c.seatsLeft(/** @type {number} */ (seats_left)), "people")] : [])];
}
