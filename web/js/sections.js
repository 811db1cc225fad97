/** Pages for who is signed in, made of sections that are fetched side by side. */

import { pageInMode } from "./api.js";
import { banner, button, h, replace } from "./dom.js";
import { en, errorText } from "./strings/en.js";

/** @typedef {import("./api.js").Me} Me */
/** @typedef {(me: Me) => Promise<Element | null>} Section null: nothing to show to this person */

/** The session is over, or there was none: back to this page after signing in. */
export function toSignIn() {
  location.replace(`/signin?over=1&next=${encodeURIComponent(pageInMode(location.pathname))}`);
}

/** Where the sections will be. @param {Section[]} sections @returns {Element[]} */
export function placesFor(sections) {
  return sections.map(() => h("section", { class: "card", "aria-busy": "true" }, h("span", { class: "spinner" })));
}

/** Fills each place once its section is there; what one section meets keeps no other from being shown. @param {Section[]} sections @param {Me} me @param {Element[]} places @param {string} failed said where a section could not be fetched */
export async function fillAll(sections, me, places, failed) {
  await Promise.all(sections.map((section, n) => fill(section, me, places[n], failed)));
}

/** @param {Section} section @param {Me} me @param {Element} place @param {string} failed */
async function fill(section, me, place, failed) {
  try {
    const element = await section(me);
    if (element) place.replaceWith(element); else place.remove();
  } catch (error) {
    if (/** @type {{code?: string}} */ (error).code === "sign_in_required") { toSignIn(); return; }
    const again = button(en.tryAgain, { icon: "refresh", kind: "small", onClick: () => { fill(section, me, place, failed); } });
    replace(place, banner("danger", { title: failed, text: errorText(error), actions: [again] }));
  }
}
