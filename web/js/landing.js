/** The landing page: the form for a new room with its live preview, and the links once the room is open. */

import { banner, byId, button, copyText, h, linkButton, replace, setBusy, toast } from "./dom.js";
import { icon } from "./icons.js";
import { createRoom, getConfig, qrUrl } from "./api.js";
import { currencyName, formatLength, formatMoney, initial } from "./format.js";
import { factLines, priceLines, stateBadges } from "./offer.js";
import { takeFragment } from "./orders.js";
import { MAY_BE_FREE, readRoomForm } from "./roomform.js";
import { en, errorText } from "./strings/en.js";

/** @typedef {import("./api.js").Config} Config */
/** @typedef {import("./api.js").CreatedRoom} CreatedRoom */
/** @typedef {import("./roomform.js").RoomForm} RoomForm */
/** @typedef {import("./roomform.js").Reading} Reading */

const INVITATION = "tollroom:invitation";
const DRAFT = "tollroom:draft";
const t = en.landing;
const form = /** @type {HTMLFormElement} */ (byId("room-form"));
const enter = /** @type {HTMLButtonElement} */ (byId("enter"));
/** A field's fault is shown once its owner has left it, not while it is being typed. @type {Set<string>} */
const touched = new Set();

/** @type {Config | null} */ let config = null;
/** @type {Reading} */ let reading = { room: null, tariff: null, missing: [], problems: {} };

/** @returns {string | null} */
function takeInvitation() {
  const fresh = takeFragment("invite");
  try {
    if (fresh) sessionStorage.setItem(INVITATION, fresh);
    return fresh ?? sessionStorage.getItem(INVITATION);
  } catch {
    return fresh;
  }
}

const invitation = takeInvitation();

/** @param {string} name @returns {string} */
const text = (name) => String(new FormData(form).get(name) ?? "");

/** @returns {RoomForm} */
function readForm() {
  const kind = /** @type {RoomForm["kind"]} */ (text("kind"));
  return {
    kind, title: text("title"), description: text("description"), host_name: text("host_name"), price: text("price"),
    minutes: text("entrance_minutes"), presets: new FormData(form).getAll("preset_minutes").map(String),
    other: text(kind === "per_minute" ? "preset_other" : "entrance_other"),
    window: text("window_minutes"), free: text("free_minutes"), interval: text("interval"), trial: text("trial_days"),
    privacy: /** @type {RoomForm["privacy"]} */ (text("privacy")), capacity: text("capacity"), terms_url: text("terms_url"),
  };
}

/** Before the server has answered, the euro's rule. */
function currencyRule() {
  const code = text("currency") || "eur";
  return config?.currencies.find((rule) => rule.code === code) ?? { code, exponent: 2, step: 1, minimum_minor: 50 };
}

function update() {
  const values = readForm();
  reading = readRoomForm(values, currencyRule());
  showKind(values);
  showExamples();
  showProblems();
  showPreview(values);
  const uninvited = config !== null && !mayOpen() ? ["invitation"] : [];
  const parts = [...new Set([...reading.missing, ...uninvited])].map((name) => t.parts[/** @type {keyof typeof t.parts} */ (name)] ?? name);
  byId("missing").textContent = parts.length ? t.missing(parts) : t.ready;
  enter.disabled = !reading.room || !mayOpen();
  keepDraft();
}

function mayOpen() {
  const open = config?.room_creation === "open" || (isTest() && config?.test_rooms !== "invited");
  return config !== null && (open || invitation !== null);
}

/** Whether it becomes a test room, on a server that has live ones too. */
const isTest = () => config !== null && config.modes.length > 1 && text("mode") === "test";

/** @param {RoomForm} values */
function showKind({ kind, minutes, privacy }) {
  byId("entrance-length").hidden = kind !== "entrance" && kind !== "free";
  for (const one of ["per_minute", "metered", "subscription"]) byId(`${one}-length`).hidden = kind !== one;
  byId("price-field").hidden = kind === "free";
  const free = document.getElementById("free-field"); // only where people can sign in
  if (free) free.hidden = !MAY_BE_FREE.has(kind);
  byId("entrance-other").hidden = minutes !== "other";
  byId("price-label").textContent = t.priceLabels[kind];
  const price = /** @type {HTMLInputElement} */ (byId("price"));
  price.placeholder = placeholderPrice(kind);
  /** @type {HTMLInputElement} */ (byId("capacity")).placeholder = privacy === "confidential" ? "11" : "200";
}

/** Sample prices in the chosen currency, a little above its smallest charge. @param {RoomForm["kind"]} kind */
function samplePrice(kind) {
  const { exponent, minimum_minor } = currencyRule();
  const factor = { entrance: 10, per_minute: 1, unlimited: 40, metered: 1, wallet: 1, subscription: 40, free: 0 }[kind];
  if (factor === 0) return 0;
  const rough = minimum_minor * factor;
  const digits = 10 ** Math.max(0, Math.floor(Math.log10(rough)) - (exponent === 0 ? 1 : 0));
  return Math.max(minimum_minor, Math.round(rough / digits) * digits);
}

/** @param {RoomForm["kind"]} kind */
function placeholderPrice(kind) {
  const { exponent } = currencyRule();
  return (samplePrice(kind) / 10 ** exponent).toFixed(exponent);
}

function showExamples() {
  const currency = currencyRule().code;
  const money = (/** @type {number} */ amount_minor) => formatMoney({ amount_minor, currency });
  byId("example-entrance").textContent = t.entranceExample(money(samplePrice("entrance")), formatLength(1800));
  byId("example-unlimited").textContent = t.entranceUnlimitedExample(money(samplePrice("unlimited")));
  const rate = samplePrice("per_minute");
  byId("example-per_minute").textContent = t.perMinuteExample(money(rate), formatLength(1800), money(rate * 30));
  byId("example-metered").textContent = t.meteredExample(money(rate), formatLength(420), money(rate * 7));
  byId("example-wallet").textContent = t.walletExample(money(rate));
  byId("example-subscription").textContent = t.subscriptionExample(money(samplePrice("subscription")));
}

const PROBLEM_FIELDS = ["price", "lengths", "capacity", "terms_url", ...(document.getElementById("free_minutes") ? ["free_minutes"] : [])];

function showProblems() {
  for (const name of PROBLEM_FIELDS) {
    const problem = touched.has(name) ? reading.problems[name] : undefined;
    showProblem(name, problem);
  }
}

/** @param {string} name @param {string | undefined} problem */
function showProblem(name, problem) {
  const line = byId(`${name}-error`);
  line.hidden = !problem;
  line.textContent = problem ?? "";
  const input = document.getElementById(name);
  if (problem) input?.setAttribute("aria-invalid", "true");
  else input?.removeAttribute("aria-invalid");
}

/** @param {RoomForm} values */
function showPreview(values) {
  const host_name = values.host_name.trim();
  const tariff = reading.tariff;
  const { kind } = values;
  const sample = tariff ?? sampleTariff(kind);
  replace(byId("preview"), h("div", { class: "offer offer--preview" },
    h("div", { class: "offer__top" }, stateBadges({ state: "live", seats_left: null })),
    h("h2", { "data-empty": !values.title.trim() }, values.title.trim() || t.titleEmpty),
    h("p", { class: "offer__host" }, h("span", { class: "avatar", "aria-hidden": "true" }, initial(host_name || t.hostEmpty)), h("span", { "data-empty": !host_name }, en.card.hostedBy(host_name || t.hostEmpty))),
    h("div", { class: "offer__price", "data-empty": !tariff }, priceLines(sample)),
    h("p", { class: "prose", "data-empty": !values.description.trim() }, values.description.trim() || t.descriptionEmpty),
    h("ul", { class: "offer__facts" }, factLines({ host_name: host_name || t.hostEmpty, privacy: values.privacy, tariff: sample }))));
}

/** @param {RoomForm["kind"]} kind @returns {import("./api.js").Tariff} */
function sampleTariff(kind) {
  const currency = currencyRule().code;
  if (kind === "per_minute") return { kind, rate_minor_per_min: samplePrice(kind), currency, presets_s: [900, 1800, 3600] };
  if (kind === "metered") return { kind, rate_minor_per_min: samplePrice(kind), currency, window_s: 900 };
  if (kind === "wallet") return { kind, rate_minor_per_min: samplePrice(kind), currency };
  if (kind === "subscription") return { kind, price_minor: samplePrice(kind), currency, interval: "month", trial_days: 0 };
  if (kind === "free") return { kind, currency, seconds: 1800 };
  return { kind: "entrance", price_minor: samplePrice(kind), currency, seconds: kind === "unlimited" ? null : 1800 };
}

const DRAFT_FIELDS = ["title", "description", "host_name", "price", "currency", "terms_url"];

/** What was typed survives a reload by accident. */
function keepDraft() {
  try {
    sessionStorage.setItem(DRAFT, JSON.stringify(Object.fromEntries(DRAFT_FIELDS.map((name) => [name, text(name)]))));
  } catch {
    // Then it does not.
  }
}

function takeDraft() {
  try {
    const draft = JSON.parse(sessionStorage.getItem(DRAFT) ?? "{}");
    for (const name of DRAFT_FIELDS) {
      const field = form.elements.namedItem(name);
      if (typeof draft[name] === "string" && field instanceof HTMLElement && draft[name]) /** @type {HTMLInputElement} */ (field).value = draft[name];
    }
    return String(draft.currency ?? "");
  } catch {
    return "";
  }
}

/** @param {Config} offered @param {string} chosen */
function showCurrencies(offered, chosen) {
  const select = /** @type {HTMLSelectElement} */ (byId("currency"));
  const code = chosen || select.value;
  replace(select, offered.currencies.map((rule) => h("option", { value: rule.code }, currencyName(rule.code))));
  if (offered.currencies.some((rule) => rule.code === code)) select.value = code;
}

function showInvitation() {
  if (config?.room_creation === "open") return;
  if (!invitation && mayOpen()) { replace(byId("notice")); return; }
  replace(byId("notice"), invitation
    ? banner("success", { text: t.invited })
    : banner("warning", { icon: "key", title: t.needInvitation, text: t.needInvitationText }));
}

async function loadConfig() {
  const chosen = takeDraft();
  update();
  try {
    config = await getConfig();
    replace(byId("notice"));
    showCurrencies(config, chosen);
    byId("mode-field").hidden = config.modes.length < 2;
    /** @type {HTMLSelectElement} */ (byId("mode")).value = config.default_mode;
    showInvitation();
  } catch (error) {
    const again = button(en.tryAgain, { icon: "refresh", kind: "small", onClick: () => { loadConfig(); } });
    replace(byId("notice"), banner("danger", { title: t.noConfig, text: errorText(error), actions: [again] }));
  }
  update();
}

/** @param {SubmitEvent} event */
async function submit(event) {
  event.preventDefault();
  if (!reading.room || !mayOpen()) return;
  setBusy(enter, true);
  try {
    showCreated(await createRoom({ ...reading.room, ...(config && config.modes.length > 1 ? { mode: text("mode") } : {}) }, invitation));
  } catch (error) {
    const { field } = /** @type {{field?: string}} */ (error);
    replace(byId("notice"), banner("danger", { text: errorText(error) }));
    (field ? document.getElementById(field) : null)?.focus();
    byId("notice").scrollIntoView({ block: "center" });
  } finally {
    setBusy(enter, false);
  }
}

/** @param {CreatedRoom} room */
function showCreated(room) {
  sessionStorage.removeItem(DRAFT);
  const c = t.created;
  document.title = c.heading;
  const main = byId("main");
  replace(main, h("div", { class: "created" },
    h("div", { class: "hero" }, h("h1", null, c.heading), h("p", null, c.lead)),
    sharePart(room), keyPart(room),
    h("div", { class: "row" },
      linkButton(c.studio, room.host_url, { kind: "primary", icon: "arrow-right", id: "open-studio" }),
      linkButton(c.another, "/", { kind: "quiet" }))));
  scrollTo(0, 0);
  main.focus();
}

/** @param {CreatedRoom} room */
function sharePart({ share_url, slug }) {
  const c = t.created;
  return h("section", { class: "card created__share" },
    h("div", { class: "stack" },
      h("h2", null, c.share), h("p", { class: "muted" }, c.shareText),
      copyLine("share-url", share_url, c.share, c.copyShare, c.shareCopied),
      navigator.share !== undefined && h("div", null, button(en.share, { icon: "share", onClick: () => { navigator.share({ url: share_url }).catch(() => {}); } }))),
    h("figure", { class: "stack stack--tight" },
      h("img", { class: "created__qr", src: qrUrl(slug), alt: c.qr, width: 176, height: 176 }), h("figcaption", { class: "small muted" }, c.qrText)));
}

/** @param {CreatedRoom} room */
function keyPart({ host_url }) {
  const c = t.created;
  return h("section", { class: "card card--flat created__key stack" },
    h("h2", { class: "row" }, icon("key"), c.host), h("p", null, c.hostText),
    copyLine("host-url", host_url, c.host, c.copyHost, c.hostCopied));
}

/** @param {string} id @param {string} link @param {string} label @param {string} copyLabel @param {string} copied */
function copyLine(id, link, label, copyLabel, copied) {
  const input = h("input", { id, class: "copy__text", readonly: true, value: link, "aria-label": label, on: { focus: () => input.select() } });
  const press = async () => { if (await copyText(link, input)) toast(copied); };
  return h("div", { class: "copy" }, input, button(en.copy, { icon: "copy", kind: "small", "aria-label": copyLabel, onClick: press }));
}

form.addEventListener("input", update);
byId("mode").addEventListener("change", () => { if (config) showInvitation(); });
form.addEventListener("focusout", ({ target }) => {
  const { id = "", name = "" } = /** @type {HTMLInputElement} */ (target);
  touched.add(/(entrance|preset|window)_/.test(name) ? "lengths" : id);
  showProblems();
});
form.addEventListener("change", ({ target }) => { if (/** @type {HTMLInputElement} */ (target).name === "kind") touched.delete("price"); });
form.addEventListener("submit", submit);
loadConfig();
