/**
 * The operator's page: one section after the other, each from a module of its own that loads what it shows. To add one: a module in `admin/` that
 * exports `async (me) => Element | null` (null: nothing to show), and its line in SECTIONS, what needs a person first.
 */

import { banner, button, byId, h, replace } from "./dom.js";
import { whoAmI } from "./api.js";
import { attention } from "./admin/attention.js";
import { codes } from "./admin/codes.js";
import { purchases } from "./admin/purchases.js";
import { rates } from "./admin/rates.js";
import { server } from "./admin/server.js";
import { switchMode } from "./me/tabs.js";
import { admin as t } from "./strings/admin.en.js";
import { en, errorText } from "./strings/en.js";

/** @typedef {import("./api.js").Me} Me */
/** @typedef {(me: Me) => Promise<Element | null>} Section */

/** @type {Section[]} */
const SECTIONS = [
  attention,
  purchases,
  rates,
  codes,
  server,
];

const root = byId("admin");

function toSignIn() {
  location.replace(`/signin?over=1&next=${encodeURIComponent(location.pathname)}`);
}

/** @param {string} state @param {...Element} content */
function say(state, ...content) {
  replace(root, h("h1", null, t.title), ...content);
  byId("main").dataset.state = state;
}

/** Fills its place when it is there; what one section meets keeps no other from being shown. @param {Section} section @param {Me} me @param {Element} place */
async function fill(section, me, place) {
  try {
    const element = await section(me);
    if (element) place.replaceWith(element); else place.remove();
  } catch (error) {
    if (/** @type {{code?: string}} */ (error).code === "sign_in_required") { toSignIn(); return; }
    const again = button(en.tryAgain, { icon: "refresh", kind: "small", onClick: () => { fill(section, me, place); } });
    replace(place, banner("danger", { title: t.sectionFailed, text: errorText(error), actions: [again] }));
  }
}

async function start() {
  const me = await whoAmI();
  if (!me) { toSignIn(); return; }
  if (me.role !== "operator") { say("refused", banner("warning", { title: t.notOperator, text: t.howToBecome(me.email) })); return; }
  const places = SECTIONS.map(() => h("section", { class: "card", "aria-busy": "true" }, h("span", { class: "spinner" })));
  const books = switchMode("/admin");
  say("loading", ...(books ? [h("nav", { class: "me__tabs", "aria-label": t.books }, books)] : []), ...places);
  await Promise.all(SECTIONS.map((section, n) => fill(section, me, places[n])));
  byId("main").dataset.state = "ready";
}

start().catch((error) => {
  say("failed", banner("danger", { text: errorText(error), actions: [button(en.tryAgain, { icon: "refresh", kind: "small", onClick: () => location.reload() })] }));
});
