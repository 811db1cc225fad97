/** What the payment sandbox's pages share: their calls, their states, a choice of test cards. */

import { button, h, replace } from "./dom.js";
import { icon } from "./icons.js";

/** @typedef {{name: string, label: string, hint: string, last4: string}} TestCard */

const TIMEOUT_MS = 20_000;

export class Refusal extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** @param {string} base @returns {(path?: string, body?: object) => Promise<any>} a POST where there is a body; throws a Refusal */
export function caller(base) {
  return async (path = "", body) => {
    let response;
    try {
      response = await fetch(base + path, {
        method: body ? "POST" : "GET", headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body),
        credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      throw new Refusal("offline", "The server did not answer. Check your connection and try again.");
    }
    const answer = await response.json().catch(() => null);
    if (response.ok && answer) return answer;
    throw new Refusal(answer?.error?.code ?? "unreadable", answer?.error?.message ?? "The server gave an answer this page cannot read.");
  };
}

/** @param {string} state @param {...(Node | null | false | undefined)} children */
export function show(state, ...children) {
  const main = /** @type {HTMLElement} */ (document.querySelector("main"));
  main.dataset.state = state;
  replace(main, ...children);
}

/** @param {string} iconName @param {string} title @param {string} text @param {Node[]} [actions] */
export function notice(iconName, title, text, actions = []) {
  const heading = h("h1", { tabindex: "-1" }, title);
  const node = h("section", { class: "state" }, icon(iconName, { className: "icon--large" }), heading, h("p", { class: "muted" }, text), ...actions);
  queueMicrotask(() => heading.focus());
  return node;
}

/** @param {Refusal} error @param {() => void} again */
export function showTrouble(error, again) {
  if (error.code === "resource_missing") show("missing", notice("help", "There is nothing here", "The link may be incomplete, or old. Nothing was charged."));
  else show("offline", notice("offline", "The page could not be loaded", error.message, [button("Try again", { icon: "refresh", kind: "primary", onClick: again })]));
}

/** @param {TestCard} card @param {number} index @param {string} [of] where there are several choices on a page */
export function cardChoice(card, index, of = "") {
  return h("label", { class: "choice" },
    h("input", { type: "radio", name: "card", value: card.name, id: `card-${of}${card.name}`, checked: index === 0 }),
    h("span", { class: "choice__body" },
      h("span", { class: "choice__title" }, h("span", null, card.label), h("span", { class: "till__number" }, `•••• ${card.last4}`)),
      h("span", { class: "choice__note" }, card.hint)));
}

/** @param {{interval: string | null, interval_count: number | null}} line */
export function rhythm({ interval, interval_count }) {
  return interval_count === 1 ? `every ${interval}` : `every ${interval_count} ${interval}s`;
}
