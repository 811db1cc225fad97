/** Signing in: asks for a link, and opens the one in the address when its button is pressed (programs that look at mail press no buttons). */

import { banner, button, byId, h, linkButton, replace, setBusy } from "./dom.js";
import { icon } from "./icons.js";
import { askForLink, canSignIn, openLink, whoAmI } from "./api.js";
import { takeFragment } from "./orders.js";
import { errorText } from "./strings/en.js";
import { people } from "./strings/people.en.js";

const t = people.signin;
const root = byId("signin");
const hasMailbox = document.body.dataset.mailbox === "true";
const search = new URLSearchParams(location.search);

/** A path of this server to go on to. @param {string | null} path */
const safePath = (path) => (path && /^\/(?![/\\])[A-Za-z0-9/_.~%?=&+-]*$/.test(path) ? path : "/me");

/** @param {string} state @param {...import("./dom.js").Child} children */
function show(state, ...children) {
  byId("main").dataset.state = state;
  replace(root, children);
}

/** @param {import("./dom.js").Child} [notice] */
function showForm(notice) {
  const input = h("input", { class: "field__input", id: "email", name: "email", type: "email", autocomplete: "email", inputmode: "email", maxlength: 254, required: true, "aria-describedby": "email-error" });
  const fault = h("p", { class: "field__error", id: "email-error", hidden: true });
  const send = h("button", { class: "button button--primary button--wide", type: "submit" }, h("span", null, t.send));
  const problem = h("div", { role: "status" }, notice);
  /** @param {string} text */
  const refuse = (text) => {
    fault.textContent = text;
    fault.hidden = !text;
    if (text) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
  };
  /** @param {SubmitEvent} event */
  const submit = async (event) => {
    event.preventDefault();
    const email = input.value.trim();
    refuse(input.checkValidity() && email ? "" : t.badEmail);
    if (!fault.hidden) { input.focus(); return; }
    setBusy(send, true);
    try {
      await askForLink(email, safePath(search.get("next")));
      showSent(email);
    } catch (error) {
      setBusy(send, false);
      const { field } = /** @type {{field?: string}} */ (error);
      if (field === "email") { refuse(t.badEmail); input.focus(); } else replace(problem, banner("danger", { text: errorText(error) }));
    }
  };
  show("form",
    h("h1", null, t.title), h("p", { class: "muted" }, t.lead), problem,
    h("form", { class: "stack", novalidate: true, on: { submit } },
      h("div", { class: "field" }, h("label", { class: "field__label", for: "email" }, t.email), input, fault), send));
}

/** @param {string} email */
function showSent(email) {
  show("sent",
    icon("mail", { className: "icon--large" }), h("h1", null, t.sentTitle), h("p", { role: "status" }, t.sent(email)), h("p", { class: "small muted" }, t.sentNothing),
    h("div", { class: "row" }, hasMailbox && linkButton(t.sandboxMail, "/sandbox/mail", { kind: "primary", id: "sandbox-mail" }), button(t.again, { kind: "quiet", onClick: () => showForm() })));
  byId("main").focus();
}

/** @param {string} token */
function showOpen(token) {
  const problem = h("div", { role: "status" });
  const press = async () => {
    setBusy(open, true);
    try {
      location.replace(safePath((await openLink(token)).next));
    } catch (error) {
      setBusy(open, false);
      const { code } = /** @type {{code?: string}} */ (error);
      const notice = banner("danger", { title: t.failed, text: errorText(error) });
      if (code === "link_used" || code === "link_too_old" || code === "invalid") showForm(notice); else replace(problem, notice);
    }
  };
  const open = button(t.open, { kind: "primary wide", id: "open-link", onClick: () => { press(); } });
  show("open", h("h1", null, t.openTitle), h("p", { class: "muted" }, t.openText), problem, open);
}

async function start() {
  const token = takeFragment("token");
  if (token) { showOpen(token); return; }
  if (!canSignIn()) {
    show("off", icon("mail", { className: "icon--large" }), h("h1", null, t.offTitle), h("p", { class: "muted" }, t.offText));
    return;
  }
  const me = await whoAmI().catch(() => null);
  if (me) {
    show("in", h("h1", null, t.title), h("p", null, t.already(me.name)), linkButton(t.goOn, safePath(search.get("next")), { kind: "primary", icon: "arrow-right" }));
    return;
  }
  showForm(search.has("over") && banner("info", { text: t.over }));
}

addEventListener("hashchange", () => { start(); });
start();
