/** What a host earned: balances, the way to a bank account, sales and payouts. */

import { badge, banner, button, byId, h, linkButton, replace, setBusy } from "./dom.js";
import { callAs, inMode, pageInMode, whoAmI } from "./api.js";
import { formatDateTime, formatMoney, formatShortDateTime } from "./format.js";
import { tabs } from "./me/tabs.js";
import { toSignIn } from "./sections.js";
import { en, errorText } from "./strings/en.js";
import { earnings as t } from "./strings/earnings.en.js";

/** @typedef {{currency: string, pending_minor: number, available_minor: number, disputed_minor: number, on_its_way_minor: number, paid_minor: number, debt_minor: number}} Balance */
/**
 * @typedef {{sale_id: string, order_id: string, room: {title: string | null, slug: string | null}, sold_at: string, available_at: string, currency: string,
 *   gross_minor: number, fee_minor: number, tax_minor: number, net_minor: number, reversed_minor: number, paid_minor: number, withheld_minor: number,
 *   owed_minor: number, debt_minor: number, state: string}} Sale
 */
/** @typedef {{payout_id: string, sale_id: string, amount_minor: number, reversed_minor: number, currency: string, state: string, failure: string | null, created_at: string}} Payout */
/** @typedef {{state: "off" | "none" | "pending" | "active" | "restricted", requirements: string[]}} Onboarding */
/** @typedef {{connect: boolean, holding_days: number, onboarding: Onboarding, balances: Balance[], sales: Sale[], next: string | null}} Earnings */

/** Where Stripe pays people out. */
const COUNTRIES = ("AE AT AU BE BG BR CA CH CY CZ DE DK EE ES FI FR GB GI GR HK HR HU IE IT JP LI LT LU LV MT MX MY NL NO NZ PL PT RO SE SG SI SK TH US").split(" ");
const KINDS = /** @type {Record<string, "success" | "warning" | "danger" | "accent" | "">} */ ({
  paid: "success", sent: "success", available: "accent", on_its_way: "accent", asked: "accent", disputed: "warning", debt: "danger", failed: "danger",
});

const root = byId("earnings");
const problem = h("div", { role: "status" });

/** @param {number} amount_minor @param {string} currency */
const money = (amount_minor, currency) => formatMoney({ amount_minor, currency });

/** @param {string | null} before @returns {Promise<Earnings>} */
const getEarnings = (before = null) => callAs("GET", `/api/me/earnings${before ? `?before=${encodeURIComponent(before)}` : ""}`);
/** @param {string | null} before @returns {Promise<{payouts: Payout[], next: string | null}>} */
const getPayouts = (before = null) => callAs("GET", `/api/me/payouts${before ? `?before=${encodeURIComponent(before)}` : ""}`);

async function start() {
  if (!(await whoAmI())) { toSignIn(); return; }
  const way = new URLSearchParams(location.search).get("onboarding");
  if (way) history.replaceState(history.state, "", pageInMode(location.pathname));
  if (way === "back") await callAs("POST", "/api/me/onboarding/refresh", { body: {} });
  const [found, paid] = await Promise.all([getEarnings(), getPayouts()]);
  show(found, paid);
  if (way === "again") await toForms(null); // the link into the forms was too old
}

/** @param {Earnings} found @param {{payouts: Payout[], next: string | null}} paid */
function show(found, paid) {
  replace(root,
    h("h1", null, t.title), tabs("/me/earnings"), problem, ...found.balances.map((one) => balance(one, found)), onboarding(found),
    found.sales.length === 0 ? nothing() : sales(found),
    paid.payouts.length > 0 && payouts(paid));
  byId("main").dataset.state = "ready";
}

function nothing() {
  return h("section", { class: "card stack" }, h("h2", null, t.nothingTitle), h("p", null, t.nothing), h("div", null, linkButton(t.openRoom, "/")));
}

// --- balance and the way to the bank ---

/** @param {Balance} one @param {Earnings} found */
function balance(one, found) {
  /** @type {[string, number, string?][]} */
  const lines = [
    [t.pending, one.pending_minor, t.pendingNote(found.holding_days)],
    [t.available, one.available_minor, found.connect ? t.availableConnect : t.availablePlatform],
  ];
  if (one.on_its_way_minor) lines.push([t.onItsWay, one.on_its_way_minor]);
  if (one.disputed_minor) lines.push([t.disputed, one.disputed_minor, t.disputedNote]);
  if (found.connect || one.paid_minor) lines.push([t.paid, one.paid_minor]);
  if (one.debt_minor) lines.push([t.debt, one.debt_minor, t.debtNote]);
  return h("section", { class: "card", "aria-label": `${t.balances} ${one.currency.toUpperCase()}`, dataset: { currency: one.currency } },
    h("dl", { class: "sums" }, lines.map(([name, amount_minor, note]) =>
      h("div", { class: "sums__one" }, h("dt", null, name), h("dd", { class: "sums__amount" }, money(amount_minor, one.currency)), note && h("dd", { class: "sums__note" }, note)))));
}

/** @param {Earnings} found */
function onboarding({ onboarding: { state, requirements }, connect }) {
  if (!connect || state === "off") return h("p", { class: "muted" }, t.platform);
  const words = t.onboarding;
  if (state === "active") return banner("success", { text: words.active });
  if (state === "none") return firstTime();
  const [title, text] = state === "pending" ? [words.pendingTitle, words.pending] : [words.restrictedTitle, words.restricted];
  const go = button(words.goOn, { icon: "external", kind: "primary", onClick: () => { toForms(null, go); } });
  return h("section", { class: "card stack", dataset: { onboarding: state } }, h("h2", null, title), h("p", null, text),
    requirements.length > 0 && h("div", null, h("p", null, words.needs), h("ul", { class: "needs" }, [...new Set(requirements.map(need))].map((one) => h("li", null, one)))),
    h("div", null, go));
}

/** In words: "identity.individual.given_name". @param {string} requirement */
function need(requirement) {
  const last = requirement.split(".").pop() ?? requirement;
  return t.onboarding.needed[last] ?? last.replaceAll("_", " ");
}

function firstTime() {
  const words = t.onboarding;
  const names = new Intl.DisplayNames(undefined, { type: "region" });
  const sorted = COUNTRIES.map((code) => /** @type {[string, string]} */ ([code, names.of(code) ?? code])).sort((a, b) => a[1].localeCompare(b[1]));
  const select = h("select", { class: "field__input", id: "country", required: true },
    h("option", { value: "" }, words.choose), sorted.map(([code, name]) => h("option", { value: code }, name)));
  const error = h("p", { class: "field__error", id: "country-error", hidden: true }, words.missing);
  const go = h("button", { class: "button button--primary", type: "submit" }, h("span", null, words.begin));
  /** @param {SubmitEvent} event */
  const submit = (event) => {
    event.preventDefault();
    error.hidden = Boolean(select.value);
    if (!select.value) { select.setAttribute("aria-describedby", "country-error"); select.focus(); return; }
    toForms(select.value, go);
  };
  return h("section", { class: "card stack", dataset: { onboarding: "none" } }, h("h2", null, words.noneTitle), h("p", null, words.none),
    h("form", { class: "me__name", novalidate: true, on: { submit } },
      h("div", { class: "field" }, h("label", { class: "field__label", for: "country" }, words.country), select, error), go));
}

/** Into the payment service's forms, by a fresh link. @param {string | null} country @param {HTMLButtonElement} [pressed] */
async function toForms(country, pressed) {
  if (pressed) setBusy(pressed, true);
  try {
    const { url } = await callAs("POST", "/api/me/onboarding", { body: country ? { country } : {} });
    replace(problem, banner("info", { text: t.onboarding.sending, busy: true }));
    location.assign(url);
  } catch (error) {
    replace(problem, banner("danger", { text: errorText(error) }));
    if (pressed) setBusy(pressed, false);
  }
}

// --- lists ---

/** @param {string} text @param {...(Node | string | null | false)} content */
const cell = (text, ...content) => h("td", { dataset: { label: text } }, ...content);

/** @param {string} name @param {string[]} columns @param {HTMLElement} body */
function table(name, columns, body) {
  return h("table", { class: "list", "aria-label": name }, h("thead", null, h("tr", null, columns.map((one) => h("th", { scope: "col" }, one)))), body);
}

/**
 * A list that grows by pages. @template T
 * @param {{rows: T[], next: string | null}} first @param {(row: T) => HTMLElement} row @param {(before: string) => Promise<{rows: T[], next: string | null}>} load
 */
function growing(first, row, load) {
  const body = h("tbody", null, first.rows.map(row));
  const place = h("div");
  let next = first.next;
  const more = button(t.more, { kind: "small", onClick: async () => {
    setBusy(more, true);
    try {
      const page = await load(String(next));
      body.append(...page.rows.map(row));
      next = page.next;
      if (!next) more.remove();
    } catch (error) {
      replace(place, banner("danger", { text: errorText(error) }));
    }
    setBusy(more, false);
  } });
  return { body, foot: next ? h("div", { class: "stack" }, place, more) : null };
}

/** @param {Earnings} found */
function sales(found) {
  const c = t.columns;
  const { body, foot } = growing({ rows: found.sales, next: found.next }, saleRow, async (before) => {
    const page = await getEarnings(before);
    return { rows: page.sales, next: page.next };
  });
  return h("section", { class: "card stack", "aria-labelledby": "sales-title" },
    h("div", { class: "row row--between" }, h("h2", { id: "sales-title" }, t.sales), linkButton(t.export, inMode("/api/me/earnings.csv"), { kind: "small", download: "earnings.csv" })),
    table(t.sales, [c.sold, c.room, c.gross, c.fee, c.net, c.back, c.state], body), foot);
}

/** @param {Sale} sale */
function saleRow(sale) {
  const c = t.columns;
  const fees_minor = sale.fee_minor + sale.tax_minor;
  const due = sale.state === "pending" ? h("span", { class: "muted small" }, `${c.due} ${formatShortDateTime(sale.available_at)}`) : null;
  return h("tr", { dataset: { sale: sale.sale_id, state: sale.state } },
    cell(c.sold, formatShortDateTime(sale.sold_at)),
    cell(c.room, sale.room.slug ? h("a", { href: `/r/${encodeURIComponent(sale.room.slug)}` }, sale.room.title ?? sale.room.slug) : t.noRoom),
    cell(c.gross, money(sale.gross_minor, sale.currency)),
    cell(c.fee, fees_minor ? `−${money(fees_minor, sale.currency)}` : money(0, sale.currency)),
    cell(c.net, h("strong", null, money(sale.net_minor, sale.currency))),
    cell(c.back, sale.reversed_minor ? `−${money(sale.reversed_minor, sale.currency)}` : "–"),
    cell(c.state, h("span", { class: "list__state" }, badge(KINDS[sale.state] ?? "", t.states[sale.state] ?? sale.state), due)));
}

/** @param {{payouts: Payout[], next: string | null}} found */
function payouts(found) {
  const c = t.columns;
  const { body, foot } = growing({ rows: found.payouts, next: found.next }, payoutRow, async (before) => {
    const page = await getPayouts(before);
    return { rows: page.payouts, next: page.next };
  });
  return h("section", { class: "card stack", "aria-labelledby": "payouts-title" },
    h("h2", { id: "payouts-title" }, t.payouts), table(t.payouts, [c.sent, c.amount, c.reversed, c.state], body), foot);
}

/** @param {Payout} payout */
function payoutRow(payout) {
  const c = t.columns;
  const why = payout.failure ? h("span", { class: "muted small" }, t.failures[payout.failure] ?? t.failure) : null;
  return h("tr", { dataset: { payout: payout.payout_id, state: payout.state } },
    cell(c.sent, formatDateTime(payout.created_at)), cell(c.amount, h("strong", null, money(payout.amount_minor, payout.currency))),
    cell(c.reversed, payout.reversed_minor ? `−${money(payout.reversed_minor, payout.currency)}` : "–"),
    cell(c.state, h("span", { class: "list__state" }, badge(KINDS[payout.state] ?? "", t.payoutStates[payout.state] ?? payout.state), why)));
}

start().catch((error) => {
  byId("main").dataset.state = "failed";
  replace(root, h("h1", null, t.failed),
    banner("danger", { text: errorText(error), actions: [button(en.tryAgain, { icon: "refresh", kind: "small", onClick: () => location.reload() })] }));
});
