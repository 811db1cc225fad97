/** The ways between the pages of who is signed in. */

import { h } from "../dom.js";
import { hasTestMode, pageInMode, pageMode } from "../api.js";
import { people } from "../strings/people.en.js";

/** @type {[string, string][]} Where, and what it is called. */
const PAGES = [["/me", people.me.mine], ["/me/rooms", people.me.rooms], ["/me/earnings", people.me.earnings]];

/** @param {string} path of the page that is shown */
export function tabs(path) {
  return h("nav", { class: "me__tabs", "aria-label": people.me.pages },
    PAGES.map(([href, name]) => h("a", { href: pageInMode(href), "aria-current": href === path ? "page" : null }, name)), switchMode(path));
}

/** To the same page in the other books, where there are two. @param {string} path */
export function switchMode(path) {
  if (!hasTestMode) return null;
  return h("a", { href: pageMode ? path : `${path}?mode=test`, id: "switch-mode" }, pageMode ? people.me.toLive : people.me.toTest);
}
