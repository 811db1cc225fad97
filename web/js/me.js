/**
 * The pages of who is signed in: one section after the other, each from a module of its own that loads what it shows. To add one: a module in `me/` that
 * exports `async (me) => Element | null` (null: nothing to show to this person), and its line in the list of its page.
 */

import { banner, button, byId, h, replace } from "./dom.js";
import { whoAmI } from "./api.js";
import { account } from "./me/account.js";
import { ownRooms } from "./me/ownrooms.js";
import { purchases } from "./me/purchases.js";
import { subscriptions } from "./me/subscriptions.js";
import { tabs } from "./me/tabs.js";
import { wallets } from "./me/wallets.js";
import { en, errorText } from "./strings/en.js";
import { people } from "./strings/people.en.js";

/** @typedef {import("./api.js").Me} Me */
/** @typedef {(me: Me) => Promise<Element | null>} Section */

/** @type {Section[]} What somebody bought, and who they are. */
const SECTIONS = [
  wallets,
  subscriptions,
  purchases,
  account,
];

/** @type {Section[]} What somebody offers. */
const HOST_SECTIONS = [
  ownRooms,
];

const path = location.pathname === "/me/rooms" ? "/me/rooms" : "/me";

const t = people.me;
const root = byId("me");

function toSignIn() {
  location.replace(`/signin?over=1&next=${encodeURIComponent(location.pathname)}`);
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
  const sections = path === "/me/rooms" ? HOST_SECTIONS : SECTIONS;
  const places = sections.map(() => h("section", { class: "card", "aria-busy": "true" }, h("span", { class: "spinner" })));
  replace(root, h("h1", null, t.hello(me.name)), tabs(path), places);
  await Promise.all(sections.map((section, n) => fill(section, me, places[n])));
  byId("main").dataset.state = "ready";
}

start().catch((error) => {
  byId("main").dataset.state = "failed";
  replace(root, h("h1", null, t.failed), banner("danger", { text: errorText(error), actions: [button(en.tryAgain, { icon: "refresh", kind: "small", onClick: () => location.reload() })] }));
});
