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
import { fillAll, placesFor, toSignIn } from "./sections.js";
import { en, errorText } from "./strings/en.js";
import { people } from "./strings/people.en.js";

/** @typedef {import("./sections.js").Section} Section */

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

async function start() {
  const me = await whoAmI();
  if (!me) { toSignIn(); return; }
  const sections = path === "/me/rooms" ? HOST_SECTIONS : SECTIONS;
  const places = placesFor(sections);
  replace(root, h("h1", null, t.hello(me.name)), tabs(path), places);
  await fillAll(sections, me, places, t.sectionFailed);
  byId("main").dataset.state = "ready";
}

start().catch((error) => {
  byId("main").dataset.state = "failed";
  replace(root, h("h1", null, t.failed), banner("danger", { text: errorText(error), actions: [button(en.tryAgain, { icon: "refresh", kind: "small", onClick: () => location.reload() })] }));
});
