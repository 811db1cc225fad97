/** What this server is set to, as far as money is concerned. */

import { h } from "../dom.js";
import { getSettings } from "./api.js";
import { admin } from "../strings/admin.en.js";

const t = admin.server;

/** @type {import("../admin.js").Section} */
export async function server() {
  const { mode, account, public_url, room_creation } = await getSettings();
  const line = (/** @type {string} */ name, /** @type {string} */ value) => h("div", null, h("dt", null, name), h("dd", null, value));
  return h("section", { class: "card stack", "aria-labelledby": "server-title" }, h("h2", { id: "server-title" }, t.title),
    h("dl", { class: "facts" }, line(t.mode, /** @type {Record<string, string>} */ (t.modes)[mode] ?? mode), line(t.account, account), line(t.url, public_url),
      line(t.creation, /** @type {Record<string, string>} */ (t.creations)[room_creation] ?? room_creation)));
}
