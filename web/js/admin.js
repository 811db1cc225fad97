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
import { fillAll, placesFor, toSignIn } from "./sections.js";
import { admin as t } from "./strings/admin.en.js";
import { en, errorText } from "./strings/en.js";

/** @typedef {import("./sections.js").Section} Section */

/** @type {Section[]} */
const SECTIONS = [
  attention,
  purchases,
  rates,
  codes,
  server,
];

const root = byId("admin");

/** @param {string} state @param {...Element} content */
function say(state, ...content) {
  replace(root, h("h1", null, t.title), ...content);
  byId("main").dataset.state = state;
}

async function start() {
  const me = await whoAmI();
  if (!me) { toSignIn(); return; }
  if (me.role !== "operator") { say("refused", banner("warning", { title: t.notOperator, text: t.howToBecome(me.email) })); return; }
  const places = placesFor(SECTIONS);
  const books = switchMode("/admin");
  say("loading", ...(books ? [h("nav", { class: "me__tabs", "aria-label": t.books }, books)] : []), ...places);
  await fillAll(SECTIONS, me, places, t.sectionFailed);
  byId("main").dataset.state = "ready";
}

start().catch((error) => {
  say("failed", banner("danger", { text: errorText(error), actions: [button(en.tryAgain, { icon: "refresh", kind: "small", onClick: () => location.reload() })] }));
});
