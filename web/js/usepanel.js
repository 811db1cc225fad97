// A call that is paid for by use: what is held, what it costs so far, and whether a further hold may follow. And the
// bank's question about the next hold, answered without leaving the call. The server decides all of it.

import { banner, h, linkButton, replace } from "./dom.js";
import { getConfig, getOrder, refreshOrder, setGoesOn } from "./api.js";
import { formatLength, formatMoney, formatTime } from "./format.js";
import { confirmHold } from "./payment.js";
import { call as text } from "./strings/call.en.js";
import { errorText } from "./strings/en.js";

/** @typedef {import("./api.js").Order} Order */
/** @typedef {import("./api.js").Use} Use */
/** @typedef {import("./api.js").MeteredTariff} MeteredTariff */
/** @typedef {import("./orders.js").OrderKey} OrderKey */
/** @typedef {import("./protocol.js").Notice} Notice */

const LOW_MS = 60_000;
const SETTLED_ASKS_MAX = 40;
const ASK_EVERY_MS = 1_000;
const t = text.use;

/** The price of so much use, rounded down as the server rounds it. @param {{rate_minor_per_min: number, currency: string}} tariff @param {number} usedMs */
export function costOf({ rate_minor_per_min, currency }, usedMs) {
  return { amount_minor: Math.floor((rate_minor_per_min * usedMs) / 60_000), currency };
}

/** Will another hold be asked for when this one runs low? @param {Use|null|undefined} use @param {MeteredTariff} tariff */
export function goesFurther(use, { max_seconds }) {
  if (!use?.goes_on || !use.can_go_on || use.windows.some(({ state }) => state === "failed")) return false;
  const granted = use.windows.filter(({ state }) => state === "held").reduce((sum, { seconds }) => sum + seconds, 0);
  return !max_seconds || granted < max_seconds;
}

export class UsePanel {
  /** @param {{tariff: MeteredTariff, order: OrderKey, leftMs: () => number|null, changed: (order: Order) => void}} options */
  constructor({ tariff, order, leftMs, changed }) {
    this._tariff = tariff;
    this._order = order;
    this._leftMs = leftMs;
    this._changed = changed;
    /** @type {Use|null} */
    this._use = null;
    this.problem = h("div", { role: "status" });
    this.facts = h("dl", { class: "facts" });
    this.next = h("p", { id: "next-hold" });
    this.toggle = h("input", { type: "checkbox", id: "go-on", on: { change: () => this._set(this.toggle.checked) } });
    this.choice = h("label", { class: "check" }, this.toggle, h("span", null, t.goOn));
    this.element = h("div", { class: "stack" }, h("p", { class: "muted" }, t.intro(this._money(tariff.rate_minor_per_min))),
      this.facts, this.next, this.choice, this.problem);
  }

  /** @param {number} amount_minor */
  _money(amount_minor) {
    return formatMoney({ amount_minor, currency: this._tariff.currency });
  }

  /** @param {Use|null|undefined} use */
  set(use) {
    this._use = use ?? null;
    this.draw();
  }

  draw() {
    const use = this._use;
    if (!use) return;
    replace(this.facts, h("div", null, h("dt", null, t.held), h("dd", null, this._money(use.held_minor))));
    this.toggle.checked = use.goes_on;
    this.choice.hidden = !use.can_go_on;
    this.next.textContent = this._nextText(use);
  }

  /** @param {Use} use */
  _nextText(use) {
    if (!use.can_go_on) return t.cannotGoOn;
    if (!goesFurther(use, this._tariff)) return t.endsHere;
    const left = this._leftMs();
    const price = this._money(this._windowPrice());
    if (left === null) return t.agreed(price);
    return t.nextAt(price, formatTime(Date.now() + Math.max(0, left - LOW_MS)));
  }

  /** The next hold is as long as the first, unless the longest call comes before. */
  _windowPrice() {
    return costOf(this._tariff, this._tariff.window_s * 1000).amount_minor;
  }

  /** @param {boolean} goesOn */
  async _set(goesOn) {
    this.toggle.disabled = true;
    replace(this.problem);
    try {
      this._changed(await setGoesOn(this._order.order_id, this._order.secret, goesOn));
    } catch (error) {
      this.toggle.checked = !goesOn;
      replace(this.problem, banner("danger", { text: errorText(error) }));
    } finally {
      this.toggle.disabled = false;
    }
  }
}

/** The bank wants to know whether it is really the payer: one question at a time, in the panel. */
export class BankPanel {
  /** @param {{order: OrderKey, onDone: () => void}} options */
  constructor({ order, onDone }) {
    this._order = order;
    this._onDone = onDone;
    this._secret = "";
    /** @type {{destroy: () => void}|null} */
    this._mounted = null;
    this.element = h("div", { class: "stack" });
  }

  /** @param {Notice} notice */
  async ask({ client_secret = "", action_url }) {
    if (client_secret === this._secret) return;
    this.close();
    this._secret = client_secret;
    const place = h("div");
    replace(this.element, h("p", null, t.bankText), place,
      action_url && linkButton(t.bankTab, action_url, { kind: "quiet", icon: "external", target: "_blank", rel: "noopener" }));
    const { publishable_key } = action_url ? { publishable_key: "" } : await getConfig();
    if (client_secret !== this._secret) return;
    this._mounted = confirmHold(place, { client_secret, action_url, publishable_key: publishable_key ?? "" }, { onComplete: () => this._answered() });
  }

  /** Whatever the bank's page says, the server is asked. */
  async _answered() {
    await refreshOrder(this._order.order_id, this._order.secret).catch(() => null);
  }

  close() {
    this._mounted?.destroy();
    this._mounted = null;
    this._secret = "";
    replace(this.element);
  }
}

/**
 * Asks until every hold of a call that is over is charged or released. @param {OrderKey} order
 * @returns {Promise<Use|null>} null when nobody answered in time
 */
export async function untilSettled({ order_id, secret }) {
  for (let i = 0; i < SETTLED_ASKS_MAX; i++) {
    const order = await getOrder(order_id, secret).catch(() => null);
    if (order?.use && order.use.charged_minor !== null) return order.use;
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
  }
  return null;
}

/** What became of the hold, for the screen after the call. @param {Use} use @param {string} currency @returns {[string, string][]} */
export function useFacts({ held_minor, charged_minor, released_minor }, currency) {
  const words = (/** @type {number|null} */ amount_minor) => formatMoney({ amount_minor: amount_minor ?? 0, currency });
  return [[t.charged, words(charged_minor)], [t.heldBefore, words(held_minor)], [t.released, words(released_minor)]];
}

/** A hold was refused: why, in words. @param {string|undefined} failure */
export function failureText(failure) {
  return /** @type {Record<string, string>} */ (t.failures)[failure ?? ""] ?? t.failures.card_declined;
}

/** @param {number|undefined} seconds */
export const fundedText = (seconds) => t.funded(formatLength(seconds ?? 0));

