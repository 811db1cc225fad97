/** The ways between the pages of who is signed in. */

import { h } from "../dom.js";
import { people } from "../strings/people.en.js";

/** @type {[string, string][]} Where, and what it is called. */
const PAGES = [["/me", people.me.mine], ["/me/rooms", people.me.rooms], ["/me/earnings", people.me.earnings]];

/** @param {string} path of the page that is shown */
export function tabs(path) {
  return h("nav", { class: "me__tabs", "aria-label": people.me.pages }, PAGES.map(([href, name]) => h("a", { href, "aria-current": href === path ? "page" : null }, name)));
}
