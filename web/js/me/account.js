/** Name and address of who is signed in, and where else they are. */

import { banner, button, byId, h, openDialog, replace, setBusy, toast } from "../dom.js";
import { endOtherSessions, eraseMe, getSessions, rename, signOut } from "../api.js";
import { en, errorText } from "../strings/en.js";
import { people } from "../strings/people.en.js";

const t = people.me;

/** @type {import("../me.js").Section} */
export async function account(me) {
  const { sessions } = await getSessions();
  const problem = h("div", { role: "status" });
  const input = h("input", { class: "field__input", id: "my-name", value: me.name, maxlength: 80, required: true, autocomplete: "name" });
  const save = h("button", { class: "button", type: "submit" }, h("span", null, t.save));

  /** Runs with `pressed` busy; what goes wrong is said in the section. @param {HTMLButtonElement} pressed @param {() => Promise<void>} work */
  const run = async (pressed, work) => {
    setBusy(pressed, true);
    try {
      await work();
      replace(problem);
    } catch (error) {
      replace(problem, banner("danger", { text: errorText(error) }));
    }
    setBusy(pressed, false);
  };
  /** @param {SubmitEvent} event */
  const submit = (event) => {
    event.preventDefault();
    if (!input.value.trim()) { input.focus(); return; }
    run(save, async () => {
      const { name } = await rename(input.value);
      byId("account-name").textContent = name;
      toast(t.saved);
    });
  };
  const leave = button(t.signOut, { id: "sign-out", onClick: () => { run(leave, async () => { await signOut(); location.assign("/"); }); } });
  return h("section", { class: "card stack", "aria-labelledby": "account-title" },
    h("h2", { id: "account-title" }, t.account), problem,
    h("form", { class: "me__name", on: { submit } },
      h("div", { class: "field" }, h("label", { class: "field__label", for: "my-name" }, t.name), input), save),
    h("p", null, h("span", { class: "muted" }, `${t.email}: `), me.email),
    elsewhere(sessions.filter((one) => !one.current).length, run),
    h("div", { class: "row" }, leave, button(t.erase, { kind: "quiet", id: "erase", onClick: () => { askToErase(); } })));
}

async function askToErase() {
  const sure = await openDialog({ title: t.eraseTitle, body: h("p", null, t.eraseText), closeLabel: en.close,
    actions: [{ text: en.cancel, value: false }, { text: t.eraseSure, value: true, kind: "danger" }] }).closed;
  if (!sure) return;
  try {
    await eraseMe();
    location.assign("/");
  } catch (error) {
    toast(errorText(error), { kind: "danger", duration_ms: 10_000 });
  }
}

/** @param {number} others @param {(pressed: HTMLButtonElement, work: () => Promise<void>) => Promise<void>} run */
function elsewhere(others, run) {
  if (others === 0) return null;
  const end = button(t.signOutElsewhere, { kind: "small", onClick: () => { run(end, async () => { await endOtherSessions(); place.remove(); toast(t.signedOutElsewhere); }); } });
  const place = h("div", { class: "row" }, h("span", null, t.elsewhere(others)), end);
  return place;
}
