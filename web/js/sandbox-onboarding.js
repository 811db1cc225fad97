/** The payment sandbox's onboarding of who is to be paid: what the service makes of it is picked from a list. Not Stripe. */

import { banner, button, h, linkButton, replace, setBusy } from "./dom.js";
import { caller, notice, show, showTrouble } from "./sandbox-page.js";

/**
 * @typedef {import("./sandbox-page.js").Refusal} Refusal
 * @typedef {{usable: boolean, name: string | null, email: string, country: string | null, refresh_url: string}} View
 */

const [, key] = /\/onboarding\/([^/]+)\/?$/.exec(location.pathname) ?? [];
const call = caller(`/sandbox/api/onboarding/${key}`);
/** @type {[string, string, string][]} */
const OUTCOMES = [
  ["finish", "Everything is told", "The account may receive money at once"],
  ["check", "Being checked", "The service takes its time; nothing can be received yet"],
  ["restrict", "Something is missing", "The service asks for a document; nothing can be received until then"],
  ["leave", "Leave unfinished", "Go back without telling anything"],
];

async function load() {
  try {
    render(await call());
  } catch (error) {
    showTrouble(/** @type {Refusal} */ (error), load);
  }
}

/** @param {View} view */
function render(view) {
  if (!view.usable) {
    const again = linkButton("Get a new link", view.refresh_url, { id: "again", icon: "refresh", kind: "primary" });
    show("used", notice("clock", "This link has been used, or is too old", "Each link works once, for ten minutes.", [again]));
    return;
  }
  const problem = h("div", { role: "alert" });
  const go = /** @type {HTMLButtonElement} */ (button("Go on (test)", { id: "go", kind: "primary wide", icon: "check" }));
  go.type = "submit";
  const form = h("form", { class: "card stack" },
    h("fieldset", { class: "stack stack--tight" }, h("legend", null, "What happens with your details"),
      h("p", { class: "muted small" }, "This is a rehearsal. Never enter real details here."),
      h("div", { class: "till__cards" }, OUTCOMES.map(choice))), problem, go);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void leave(go, problem, String(new FormData(form).get("outcome")));
  });
  show("open", h("div", { class: "till__narrow stack" }, h("h1", null, "Tell who you are, to be paid"),
    h("p", { class: "muted" }, [view.name, view.email, view.country?.toUpperCase()].filter(Boolean).join(" · ")), form));
}

/** @param {[string, string, string]} outcome @param {number} index */
function choice([value, label, hint], index) {
  return h("label", { class: "choice" },
    h("input", { type: "radio", name: "outcome", value, id: `outcome-${value}`, checked: index === 0 }),
    h("span", { class: "choice__body" }, h("span", { class: "choice__title" }, label), h("span", { class: "choice__note" }, hint)));
}

/** @param {HTMLButtonElement} pressed @param {HTMLElement} problem @param {string} outcome */
async function leave(pressed, problem, outcome) {
  replace(problem);
  setBusy(pressed, true);
  try {
    const { return_url } = await call("", { outcome });
    if (return_url) location.assign(return_url);
    else show("done", notice("check-circle", "Done", "You can close this page."));
  } catch (error) {
    const refusal = /** @type {Refusal} */ (error);
    if (refusal.code === "link_used") return load();
    replace(problem, banner("danger", { title: "That did not work", text: refusal.message }));
    setBusy(pressed, false);
  }
}

void load();
