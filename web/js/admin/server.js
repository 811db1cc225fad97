/** What this server is set to, as far as money is concerned. */

import { banner, button, h, replace, setBusy, toast } from "../dom.js";
import { getModes, getSettings, setModes } from "./api.js";
import { errorText } from "../strings/en.js";
import { admin } from "../strings/admin.en.js";

const t = admin.server;

/** @type {import("../admin.js").Section} */
export async function server() {
  const [{ mode, account, public_url, room_creation }, modes] = await Promise.all([getSettings(), getModes()]);
  const line = (/** @type {string} */ name, /** @type {string} */ value) => h("div", null, h("dt", null, name), h("dd", null, value));
  return h("section", { class: "card stack", "aria-labelledby": "server-title" }, h("h2", { id: "server-title" }, t.title),
    h("dl", { class: "facts" }, line(t.mode, /** @type {Record<string, string>} */ (t.modes)[mode] ?? mode), line(t.account, account), line(t.url, public_url),
      line(t.creation, /** @type {Record<string, string>} */ (t.creations)[room_creation] ?? room_creation)),
    modes.sets.length > 1 && rules(modes));
}

/** In which mode rooms are opened, and by whom. @param {import("./api.js").Modes} modes */
function rules({ default_mode, test_rooms }) {
  const select = (/** @type {string} */ id, /** @type {Record<string, string>} */ words, /** @type {string | null} */ chosen) =>
    h("select", { class: "field__input", id }, Object.entries(words).map(([value, name]) => h("option", { value, selected: value === chosen }, name)));
  const mode = select("default-mode", t.defaultModes, default_mode), rule = select("test-rooms", t.testRules, test_rooms);
  const problem = h("div", { role: "alert" });
  const keep = button(t.keepModes, { kind: "small primary", id: "keep-modes", onClick: async () => {
    setBusy(keep, true);
    try {
      await setModes(/** @type {import("./api.js").Modes} */ ({ default_mode: mode.value, test_rooms: rule.value }));
      replace(problem);
      toast(t.modesKept);
    } catch (error) {
      replace(problem, banner("danger", { text: errorText(error) }));
    } finally {
      setBusy(keep, false);
    }
  } });
  const field = (/** @type {string} */ id, /** @type {string} */ label, /** @type {Element} */ input) => h("div", { class: "field" }, h("label", { class: "field__label", for: id }, label), input);
  return h("div", { class: "stack", id: "modes" }, h("h3", null, t.modesTitle), h("div", { class: "field__row" }, field("default-mode", t.defaultMode, mode), field("test-rooms", t.testRooms, rule)),
    problem, h("div", null, keep));
}
