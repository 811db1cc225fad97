/** Money, lengths and times for people, in the visitor's locale. Pure: no DOM. */

/** @typedef {{amount_minor: number, currency: string}} Money */

/** Exponents that are not 2, as Stripe counts (docs.stripe.com/currencies); GET /api/config says the same of those it offers. */
const EXPONENTS = new Map([
  ..."bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split(" ").map((code) => /** @type {[string, number]} */ ([code, 0])),
  ..."bhd jod kwd omr tnd".split(" ").map((code) => /** @type {[string, number]} */ ([code, 3])),
]);

/** Digits after the point of that currency's minor units. @param {string} currency */
export function exponent(currency) {
  return EXPONENTS.get(currency) ?? 2;
}

/**
 * "€5.00" in the locale's own way. The number of digits is the currency's as Stripe counts, not the locale's.
 * @param {Money} money @param {string} [locale]
 */
export function formatMoney({ amount_minor, currency }, locale) {
  const digits = exponent(currency);
  return new Intl.NumberFormat(locale, {
    style: "currency", currency: currency.toUpperCase(), minimumFractionDigits: digits, maximumFractionDigits: digits,
  }).format(amount_minor / 10 ** digits);
}

/**
 * What someone typed as a price, in minor units: "5", "5.00", "5,00", "1 200". Null when it is no amount, has more digits than the
 * currency, or a thousands sign that could be a decimal one.
 * @param {string} text @param {number} digits the currency's exponent
 * @returns {number | null}
 */
export function parseAmount(text, digits) {
  const match = /^(\d{1,9})(?:[.,](\d{1,3}))?$/.exec(text.replace(/[\s'’]/g, ""));
  if (!match) return null;
  const [, whole, fraction = ""] = match;
  if (fraction.length > digits) return null;
  return Number(whole + fraction.padEnd(digits, "0"));
}

/** An amount as one types it: 500 → "5.00". @param {number} amount_minor @param {number} digits */
export function amountText(amount_minor, digits) {
  return (amount_minor / 10 ** digits).toFixed(digits);
}

/**
 * A length that was or can be bought: "30 minutes", "1 hour 30 minutes", "45 seconds".
 * @param {number} seconds @param {string} [locale]
 */
export function formatLength(seconds, locale) {
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = Math.floor(seconds % 60);
  const parts = [];
  if (hours) parts.push(unit(hours, "hour", locale));
  if (minutes) parts.push(unit(minutes, "minute", locale));
  if (rest || parts.length === 0) parts.push(unit(rest, "second", locale));
  return parts.join(" ");
}

/** The same, short: "30 min", "1 hr 30 min". @param {number} seconds @param {string} [locale] */
export function formatShortLength(seconds, locale) {
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = Math.floor(seconds % 60);
  const parts = [];
  if (hours) parts.push(unit(hours, "hour", locale, "short"));
  if (minutes) parts.push(unit(minutes, "minute", locale, "short"));
  if (rest || parts.length === 0) parts.push(unit(rest, "second", locale, "short"));
  return parts.join(" ");
}

/** @param {number} value @param {string} name @param {string} [locale] @param {"long" | "short"} [unitDisplay] */
function unit(value, name, locale, unitDisplay = "long") {
  return new Intl.NumberFormat(locale, { style: "unit", unit: name, unitDisplay }).format(value);
}

/** A countdown: "29:59", "1:04:09". Rounded up, so that it reads 0:00 only at the end. @param {number} ms */
export function formatClock(ms) {
  return clock(Math.ceil(ms / 1000));
}

/** Used time in the same form, rounded down: with what is left it makes exactly what was bought. @param {number} ms */
export function formatUsed(ms) {
  return clock(Math.floor(ms / 1000));
}

/** Parts of used time, each in whole seconds, so that they add up to the used time of all. @param {number[]} parts_ms @returns {number[]} */
export function wholeParts(parts_ms) {
  let all = 0;
  return parts_ms.map((ms) => {
    const before = Math.floor(all / 1000);
    all += ms;
    return (Math.floor(all / 1000) - before) * 1000;
  });
}

/** @param {number} total_s */
function clock(total_s) {
  const total = Math.max(0, total_s);
  const [hours, minutes, seconds] = [Math.floor(total / 3600), Math.floor((total % 3600) / 60), total % 60];
  const tail = `${hours ? String(minutes).padStart(2, "0") : minutes}:${String(seconds).padStart(2, "0")}`;
  return hours ? `${hours}:${tail}` : tail;
}

/** "3 May 2026, 14:05" in the visitor's locale and time zone. @param {string} time RFC 3339 @param {string} [locale] */
export function formatDateTime(time, locale) {
  return new Intl.DateTimeFormat(locale, { dateStyle: "long", timeStyle: "short" }).format(new Date(time));
}

/** "3 May, 14:05", for lists; the time as `formatTime` writes it. @param {string} time RFC 3339 @param {string} [locale] */
export function formatShortDateTime(time, locale) {
  const day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" }).format(new Date(time));
  return `${day}, ${formatTime(time, locale)}`;
}

/** "14:05" @param {string | number | Date} time @param {string} [locale] */
export function formatTime(time, locale) {
  return new Intl.DateTimeFormat(locale, { timeStyle: "short" }).format(new Date(time));
}

/** Currency names for a list: "Euro (EUR)". @param {string} code @param {string} [locale] */
export function currencyName(code, locale) {
  const upper = code.toUpperCase();
  try {
    const name = new Intl.DisplayNames(locale ? [locale] : [], { type: "currency" }).of(upper);
    return name && name !== upper ? `${upper} – ${name}` : upper;
  } catch {
    return upper;
  }
}

/** First letter of a name, for its avatar. @param {string} name */
export function initial(name) {
  return [...name.trim()][0]?.toLocaleUpperCase() ?? "?";
}
