/** The payment sandbox's billing portal: subscriptions ended, resumed, and paid with another card. Not Stripe. */

import { announce, banner, button, h, linkButton, replace, setBusy } from "./dom.js";
import { formatMoney } from "./format.js";
import { caller, cardChoice, rhythm, show, showTrouble } from "./sandbox-page.js";

/**
 * @typedef {import("./sandbox-page.js").Refusal} Refusal
 * @typedef {import("./sandbox-page.js").TestCard} TestCard
 * @typedef {{id: string, name: string, status: string, amount_minor: number, currency: string, interval: string, interval_count: number,
 *   current_period_end: number, cancel_at_period_end: boolean, last4: string | null}} Subscription
 * @typedef {{email: string | null, return_url: string | null, subscriptions: Subscription[], cards: TestCard[]}} View
 */

const [, key] = /\/portal\/([^/]+)\/?$/.exec(location.pathname) ?? [];
const call = caller(`/sandbox/api/portal/${key}`);
const OVER = ["canceled", "incomplete_expired"];

async function load() {
  try {
    render(await call());
  } catch (error) {
    showTrouble(/** @type {Refusal} */ (error), load);
  }
}

/** @param {View} view @param {string} [said] what has just been done */
function render(view, said) {
  const back = view.return_url && linkButton("Go back", view.return_url, { id: "back", kind: "quiet", icon: "arrow-left" });
  const none = view.subscriptions.length === 0 && h("p", { class: "muted" }, "There is no subscription.");
  show("open", h("div", { class: "till__narrow stack" }, h("h1", null, "Your subscriptions"), view.email && h("p", { class: "muted" }, view.email),
    said && banner("success", { text: said }), none, ...view.subscriptions.map((one) => subscription(one, view)), back));
  if (said) announce(said);
}

/** @param {Subscription} one */
function state(one) {
  const until = new Date(one.current_period_end * 1000).toLocaleDateString("en", { dateStyle: "long" });
  if (OVER.includes(one.status)) return "Ended";
  if (one.status === "past_due") return "The last payment failed. Change the card to pay it.";
  if (one.cancel_at_period_end) return `Ends on ${until}`;
  return one.status === "trialing" ? `Trial, first payment on ${until}` : `Next payment on ${until}`;
}

/** @param {Subscription} one @param {View} view */
function subscription(one, view) {
  const problem = h("div", { role: "alert" });
  const over = OVER.includes(one.status);
  const turn = one.cancel_at_period_end ? button("Resume", { kind: "primary", dataset: { action: "resume" } }) : button("Cancel at the end of the period", { dataset: { action: "cancel" } });
  turn.addEventListener("click", () => {
    const [path, said] = one.cancel_at_period_end ? ["/resume", "It goes on."] : ["/cancel", "It ends with the period that is paid."];
    void act(turn, problem, path, { subscription: one.id }, said);
  });
  return h("section", { class: "card stack", dataset: { subscription: one.id, status: one.status } },
    h("h2", null, one.name),
    h("p", null, `${formatMoney(one)} ${rhythm(one)}`),
    h("p", { class: "muted" }, state(one)),
    one.last4 && h("p", { class: "muted small" }, `Test card •••• ${one.last4}`),
    problem, !over && turn, !over && cardForm(one, view, problem));
}

/** @param {Subscription} one @param {View} view @param {HTMLElement} problem */
function cardForm(one, view, problem) {
  const save = /** @type {HTMLButtonElement} */ (button("Use this card (test)", { kind: "primary", icon: "lock" }));
  save.type = "submit";
  const node = h("form", { class: "stack" },
    h("fieldset", { class: "stack stack--tight" }, h("legend", null, "Pick a test card"), h("div", { class: "till__cards" }, view.cards.map((card, index) => cardChoice(card, index, one.id)))), save);
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    void act(save, problem, "/card", { subscription: one.id, card: new FormData(node).get("card") }, "The card was changed.");
  });
  return h("details", { class: "till__details", open: one.status === "past_due" }, h("summary", null, "Change the card"), node);
}

/** @param {HTMLButtonElement} pressed @param {HTMLElement} problem @param {string} path @param {object} body @param {string} said */
async function act(pressed, problem, path, body, said) {
  replace(problem);
  setBusy(pressed, true);
  try {
    render(await call(path, body), said);
  } catch (error) {
    replace(problem, banner("danger", { title: "That did not work", text: /** @type {Error} */ (error).message }));
    setBusy(pressed, false);
  }
}

void load();
