/** The payment sandbox's till: one page for the hosted checkout and for the frame inside the call. Not Stripe. */

import { announce, banner, button, byId, h, linkButton, replace, setBusy } from "./dom.js";
import { formatMoney } from "./format.js";
import { icon } from "./icons.js";
import { caller, cardChoice, notice, rhythm, show, showTrouble } from "./sandbox-page.js";

/**
 * @typedef {import("./sandbox-page.js").Refusal} Refusal
 * @typedef {import("./sandbox-page.js").TestCard} TestCard
 * @typedef {{name: string, description: string | null, quantity: number, amount_minor: number, interval: string | null, interval_count: number | null}} Line
 * @typedef {{id: string, mode: "payment" | "setup" | "subscription", trial_days: number | null, status: "open" | "complete" | "expired", payment_status: string, challenge: boolean, hold: boolean, amount_minor: number, currency: string,
 *   lines: Line[], cards: TestCard[], email: string | null, expires_at: number, note: string | null, embedded: boolean,
 *   cancel_url: string | null, return_url: string | null}} Session
 * @typedef {{state: "complete", session_id: string, return_url: string | null} | {state: "challenge"} | {state: "declined", code: string, message: string}} Outcome
 */

const [, place, key] = /\/(checkout|embedded|authenticate)\/([^/]+)\/?$/.exec(location.pathname) ?? [];
const call = caller(`/sandbox/api/${place}/${key}`);
const framed = place !== "checkout" && window.parent !== window;

/** Tell the page around the frame; same origin only. @param {object} message */
function tell(message) {
  if (framed) window.parent.postMessage({ type: "tollroom:checkout", ...message }, location.origin);
}

async function load() {
  try {
    render(await call());
  } catch (error) {
    showTrouble(/** @type {Refusal} */ (error), load);
  }
}

/** @param {any} session */
function render(session) {
  if (place === "authenticate") showBank(session);
  else if (session.status === "complete") showComplete(session, session.return_url);
  else if (session.status === "expired") showExpired(session);
  else if (session.challenge) showChallenge(session);
  else showTill(session);
}

/** @param {Session} session @param {string | null} return_url */
function showComplete({ mode, trial_days, hold }, return_url) {
  const actions = return_url && !framed ? [linkButton("Back to the room", return_url, { icon: "arrow-right", kind: "primary" })] : [];
  const [title, text] = mode === "setup" ? ["The card is kept", "It can be charged later. No real money moves."]
    : mode === "subscription" ? ["Subscribed", `${trial_days ? "The trial has begun." : "The first test payment went through."} No real money moved.`]
    : hold ? ["Held", "The amount is held on the test card. You pay what you use. No real money moves."]
    : ["Paid", "The test payment went through. No real money moved."];
  show("complete", notice("check-circle", title, text, actions));
}

/** @param {Session} session */
function showExpired({ cancel_url }) {
  const actions = cancel_url ? [linkButton("Go back", cancel_url, { icon: "arrow-left", kind: "primary" })] : [];
  show("expired", notice("clock", "This payment has expired", "Nothing was charged. Start again from the room's page.", actions));
}

/** @param {Session} session @param {string} [refusal] why the last try failed */
function showTill(session, refusal) {
  show("open", h("div", { class: "till__columns" }, summary(session), form(session, refusal)));
  tellHeight();
}

/** A card that is kept has no price, a trial none yet. @param {Session} session */
function summary({ mode, trial_days, lines, currency, amount_minor, note, hold }) {
  if (mode === "setup") {
    return h("section", { class: "till__summary stack", "aria-label": "What the card is for" },
      h("h1", null, "Keep a card"), h("p", null, "Nothing is charged now. The card is kept, to be charged later for what you agree to."), note && h("p", { class: "muted small" }, note));
  }
  const each = lines.reduce((sum, line) => sum + line.amount_minor, 0);
  const terms = mode === "subscription" && `${formatMoney({ amount_minor: each, currency })} ${rhythm(lines[0])}${trial_days ? `, starting after ${trial_days} days` : ""}, until you cancel.`;
  return h("section", { class: "till__summary stack", "aria-label": "What you pay for" },
    h("h1", null, h("span", { class: "muted small" }, hold ? "Held at most" : "To pay"), h("br", null), h("span", { id: "amount", class: "till__amount" }, formatMoney({ amount_minor, currency }))),
    h("ul", { class: "lines" }, lines.map((line) => h("li", { class: "till__line" },
      h("div", null, h("p", null, line.quantity > 1 ? `${line.name} × ${line.quantity}` : line.name),
        line.description && h("p", { class: "muted small prose" }, line.description)),
      h("span", { class: "numbers" }, formatMoney({ amount_minor: line.amount_minor, currency }))))),
    h("p", { class: "till__line till__line--total" }, h("span", null, trial_days ? "Due now" : "Total"), h("span", { class: "numbers" }, formatMoney({ amount_minor, currency }))),
    terms && h("p", { class: "small", id: "terms" }, terms),
    hold && h("p", { class: "small" }, `We hold up to ${formatMoney({ amount_minor, currency })}. You pay what you use, the rest is released.`),
    note && h("p", { class: "muted small" }, note));
}

/** @param {Session} session @param {string} [refusal] */
function form(session, refusal) {
  const email = h("input", { id: "email", class: "field__input", type: "email", autocomplete: "email", value: session.email ?? "", readonly: session.email !== null });
  const name = h("input", { id: "name", class: "field__input", autocomplete: "cc-name", maxlength: "200" });
  const pay = h("button", { id: "pay", type: "submit", class: "button button--primary button--wide" },
    icon("lock"), h("span", null, payWords(session)));
  const problem = h("div", { id: "error", role: "alert" }, refusal && declined(session, refusal));
  const node = h("form", { class: "card stack", novalidate: true },
    h("fieldset", { class: "stack stack--tight" }, h("legend", null, "Pick a test card"),
      h("p", { class: "muted small" }, "This is a rehearsal. Never enter a real card here."),
      h("div", { class: "till__cards" }, session.cards.map((card, index) => cardChoice(card, index)))),
    field("email", "E-mail for the receipt", email), field("name", "Name on the card", name),
    problem, pay, back(session));
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    const card = new FormData(node).get("card");
    void attempt(session, pay, problem, "/pay", { card, email: email.value || null, name: name.value || null });
  });
  return node;
}

/** @param {Session} session */
function payWords(session) {
  if (session.mode === "setup") return "Keep this card (test)";
  if (session.hold) return `Hold up to ${formatMoney(session)} (test)`;
  if (session.mode === "subscription") return session.trial_days ? "Start the trial (test)" : `Subscribe for ${formatMoney(session)} (test)`;
  return `Pay ${formatMoney(session)} (test)`;
}

/** @param {Session} session @param {string} why */
function declined({ mode }, why) {
  return banner("danger", { title: mode === "setup" ? "The card was declined" : "The payment was declined", text: `${why} Nothing was charged.` });
}

/** @param {string} id @param {string} label @param {HTMLElement} input */
function field(id, label, input) {
  return h("div", { class: "field" }, h("label", { class: "field__label", for: id }, label, " ", h("span", { class: "field__optional" }, "optional")), input);
}

/** @param {Session} session */
function back({ cancel_url, embedded }) {
  if (embedded) return framed && button("Cancel", { id: "back", kind: "quiet", icon: "arrow-left", onClick: () => tell({ state: "canceled" }) });
  return cancel_url && linkButton("Go back without paying", cancel_url, { id: "back", kind: "quiet", icon: "arrow-left" });
}

/**
 * One step towards the payment. Whatever goes wrong is said in `problem`, and one can try again.
 * @param {Session} session @param {HTMLButtonElement} pressed @param {HTMLElement} problem @param {string} path @param {object} body
 */
async function attempt(session, pressed, problem, path, body) {
  replace(problem);
  setBusy(pressed, true);
  try {
    const outcome = await call(path, body);
    if (place === "authenticate") {
      showBank(outcome);
      tell({ state: "complete" });
      if (outcome.return_url && !framed) location.assign(outcome.return_url);
      return;
    }
    if (outcome.state === "declined" && path === "/pay") {
      // What was filled in stays; one picks another card and presses again.
      replace(problem, declined(session, outcome.message));
      setBusy(pressed, false);
      return;
    }
    follow(session, outcome);
  } catch (error) {
    const refusal = /** @type {Refusal} */ (error);
    if (/^session_/.test(refusal.code)) return load();
    replace(problem, banner("danger", { title: "That did not work", text: refusal.message }));
    setBusy(pressed, false);
  }
}

/** @param {Session} session @param {Outcome} outcome */
function follow(session, outcome) {
  if (outcome.state === "challenge") return showChallenge(session);
  if (outcome.state === "declined") {
    showTill(session, outcome.message);
    byId("pay").focus();
    return;
  }
  showComplete(session, outcome.return_url);
  announce(session.mode === "setup" ? "The card is kept" : session.hold ? "Held" : "Paid");
  tell({ state: "complete", session_id: outcome.session_id, return_url: outcome.return_url });
  if (outcome.return_url) /** @type {Window} */ (window.top ?? window).location.assign(outcome.return_url);
}

/** The bank's own step, as 3-D Secure shows it. @param {Session} session */
function showChallenge(session) {
  const problem = h("div", { id: "error", role: "alert" });
  const approve = button("Approve the payment", { id: "approve", kind: "primary wide", icon: "check" });
  const refuse = button("Fail the check", { id: "refuse", kind: "wide", icon: "close" });
  approve.addEventListener("click", () => { void attempt(session, approve, problem, "/challenge", { approved: true }); });
  refuse.addEventListener("click", () => { void attempt(session, refuse, problem, "/challenge", { approved: false }); });
  const heading = h("h1", { tabindex: "-1" }, "Your bank asks: is this you?");
  const what = session.amount_minor ? `${formatMoney(session)} will be ${session.hold ? "held on" : "paid with"} a test card when you approve.` : "The test card will be kept when you approve.";
  show("challenge", h("section", { class: "card till__bank state" }, icon("lock", { className: "icon--large" }), heading,
    h("p", { class: "muted" }, `3-D Secure, rehearsed. ${what}`), problem, approve, refuse));
  heading.focus();
}

/**
 * The bank's step for a card that was kept; afterwards one goes back to where one came from, or the call around the frame goes on.
 * @param {{status: string, amount_minor: number, currency: string, hold: boolean, return_url: string | null}} payment
 */
function showBank(payment) {
  if (payment.status === "requires_action") {
    showChallenge(/** @type {any} */ (payment));
    return;
  }
  const actions = payment.return_url && !framed ? [linkButton("Go back", payment.return_url, { icon: "arrow-left", kind: "primary" })] : [];
  if (payment.status === "succeeded" || payment.status === "requires_capture") show("complete", notice("check-circle", "Confirmed", "The bank approved the test payment. No real money moved.", actions));
  else show("declined", notice("help", "Not confirmed", "The bank did not approve the payment. Nothing was charged.", actions));
}

/** A frame cannot size itself: the page around it is told how high the content is. */
function tellHeight() {
  tell({ state: "height", height_px: Math.ceil(document.body.getBoundingClientRect().height) });
}

if (place === "embedded" || framed) document.body.classList.add("framed");
// A call is always dark, whatever the system says: the frame follows the page around it.
if (framed) document.documentElement.dataset.theme = window.parent.document.documentElement.dataset.theme ?? "";
if (framed) new ResizeObserver(tellHeight).observe(document.body);
void load();
