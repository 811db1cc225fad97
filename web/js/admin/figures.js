/** The figures of rates as people write them, and back. Pure: no DOM. */

import { amountText, exponent, parseAmount } from "../format.js";

/** @typedef {"currency" | "money" | "percent" | "minutes" | "lengths" | "days" | "switch" | "word" | "packages" | "text" | "url"} Kind */
/** `only`: where alone it says something. @typedef {{name: string, kind: Kind, words?: string[], only?: "default"}} Figure */
/** @typedef {{price_minor: number, credit_minor: number, currency: string}} Package */
/** @typedef {{title: string, figures: Figure[]}} Group */

/** What the page knows how to write, in groups; `title` names them in the strings. @type {Group[]} */
export const GROUPS = [
  { title: "price", figures: [
    { name: "currency", kind: "currency" }, { name: "rate_minor_per_min", kind: "money" }, { name: "price_minor", kind: "money" },
    { name: "presets_s", kind: "lengths" }, { name: "window_s", kind: "minutes" },
    { name: "free_seconds", kind: "minutes" }, { name: "minimum", kind: "word", words: ["waive_first", "charge"] },
  ] },
  { title: "credits", figures: [{ name: "packages", kind: "packages", only: "default" }, { name: "balance_low_minor", kind: "money" }] },
  { title: "fee", figures: [{ name: "fee_percent_bp", kind: "percent" }, { name: "fee_fixed_minor", kind: "money" }, { name: "fee_on_top", kind: "switch" }] },
  { title: "tax", figures: [{ name: "automatic_tax", kind: "switch" }] },
  { title: "terms", figures: [{ name: "terms_url", kind: "url" }, { name: "terms_version", kind: "text" }] },
  { title: "refunds", figures: [
    { name: "refund_no_show", kind: "switch" }, { name: "refund_host_left", kind: "switch" }, { name: "refund_technical", kind: "switch" },
    { name: "dispute_access", kind: "word", words: ["end", "keep"] },
  ] },
  { title: "subscriptions", figures: [{ name: "grace_s", kind: "minutes" }] },
  { title: "payout", figures: [{ name: "earnings_days", kind: "days" }] },
];

export class FigureError extends Error {
  /** @param {string} name the figure's @param {string} code */
  constructor(name, code) {
    super(code);
    this.figure = name;
    this.code = code;
  }
}

/** A figure as its field shows it; '' for none. @param {Figure} figure @param {any} value @param {string | undefined} currency of the place @returns {string} */
export function figureText({ kind }, value, currency) {
  if (value === undefined || value === null) return "";
  if (kind === "money") return amountText(value, exponent(currency ?? ""));
  if (kind === "percent") return String(value / 100);
  if (kind === "minutes") return String(value / 60);
  if (kind === "lengths") return value.map((/** @type {number} */ seconds) => String(seconds / 60)).join(", ");
  if (kind === "switch") return value ? "yes" : "no";
  if (kind === "packages") return value.map((/** @type {Package} */ one) => packageText(one, currency)).join("; ");
  return String(value);
}

/** What a field says; null for blank. Throws FigureError. @param {Figure} figure @param {string} text @param {string | undefined} currency @returns {any} */
export function readFigure({ name, kind }, text, currency) {
  const said = text.trim();
  if (said === "") return null;
  if (kind === "money") return amount(name, said, currency);
  if (kind === "percent") return Math.round(number(name, said) * 100);
  if (kind === "minutes") return Math.round(number(name, said) * 60);
  if (kind === "lengths") return said.split(/[,;\s]+/).filter(Boolean).map((one) => Math.round(number(name, one) * 60));
  if (kind === "days") return whole(name, said);
  if (kind === "switch") return said === "yes";
  if (kind === "packages") return said.split(";").filter((one) => one.trim()).map((one) => readPackage(name, one.trim(), currency));
  return said;
}

/** Every field of a form. Figures that the page does not know stay as they were. Throws FigureError.
 * @param {Record<string, string>} texts @param {Record<string, any>} before @returns {Record<string, any>} */
export function readFigures(texts, before) {
  const known = GROUPS.flatMap(({ figures }) => figures).filter(({ name }) => name in texts);
  const read = Object.fromEntries(Object.entries(before).filter(([name]) => !known.some((figure) => figure.name === name)));
  const currency = texts.currency || undefined;
  for (const figure of known) {
    const value = readFigure(figure, texts[figure.name], currency);
    if (value !== null) read[figure.name] = value;
  }
  return read;
}

/** `10.00 = 11.00`, with its currency where that is another than the place's. @param {Package} one @param {string | undefined} currency */
function packageText(one, currency) {
  const digits = exponent(one.currency);
  const credits = one.credit_minor === one.price_minor ? "" : ` = ${amountText(one.credit_minor, digits)}`;
  return `${amountText(one.price_minor, digits)}${credits}${one.currency === currency ? "" : ` ${one.currency.toUpperCase()}`}`;
}

/** A price alone buys as much. @param {string} name @param {string} text @param {string | undefined} currency @returns {Package} */
function readPackage(name, text, currency) {
  const [, price = "", credits = price, code] = /^([\d.,]+)(?:\s*=\s*([\d.,]+))?(?:\s+([a-z]{3}))?$/i.exec(text) ?? [];
  if (!price) throw new FigureError(name, "packages");
  const own = code?.toLowerCase() ?? currency;
  return { price_minor: amount(name, price, own), credit_minor: amount(name, credits, own), currency: own ?? "" };
}

/** @param {string} name @param {string} text @param {string | undefined} currency */
function amount(name, text, currency) {
  if (!currency) throw new FigureError(name, "currency");
  const minor = parseAmount(text, exponent(currency));
  if (minor === null) throw new FigureError(name, "amount");
  return minor;
}

/** @param {string} name @param {string} text */
function number(name, text) {
  const value = /^\d{1,6}([.,]\d{1,2})?$/.test(text) ? Number(text.replace(",", ".")) : NaN;
  if (Number.isNaN(value)) throw new FigureError(name, "number");
  return value;
}

/** @param {string} name @param {string} text */
function whole(name, text) {
  if (!/^\d{1,6}$/.test(text)) throw new FigureError(name, "number");
  return Number(text);
}
