/** A folded panel with what an encoder or a player is told: where to, and a key. The key is shown when it is made, and never again. */

import { banner, button, copyBox, h, replace, setBusy } from "./dom.js";
import { icon } from "./icons.js";
import { formatShortDateTime } from "./format.js";
import { en, errorText } from "./strings/en.js";

/** @typedef {{url: string, created_at: string | null, key?: string}} StreamKey */
/** @typedef {{title: string, text: string, more: string}} Words */

const t = en.stream;

/**
 * @param {Words} words @param {(method: "GET" | "POST" | "DELETE") => Promise<StreamKey>} ask
 * @returns {HTMLDetailsElement}
 */
export function streamPanel(words, ask) {
  const holder = h("div", { class: "stack stack--tight", role: "status" });
  const draw = (/** @type {StreamKey} */ found) => replace(holder, keyLines(found, act));
  const act = async (/** @type {"GET" | "POST" | "DELETE"} */ method, /** @type {HTMLButtonElement} */ pressed) => {
    if (pressed) setBusy(pressed, true);
    try {
      draw(await ask(method));
    } catch (error) {
      if (pressed) setBusy(pressed, false);
      holder.append(banner("danger", { text: errorText(error) }));
    }
  };
  const panel = h("details", { class: "fold no-print" },
    h("summary", null, icon("external"), h("span", null, words.title)),
    h("div", { class: "stack stack--tight" }, h("p", { class: "small muted" }, words.text), holder, h("p", { class: "small muted" }, words.more)));
  panel.addEventListener("toggle", () => { if (panel.open && !holder.hasChildNodes()) act("GET", /** @type {any} */ (null)); });
  return panel;
}

/** @param {StreamKey} found @param {(method: "POST" | "DELETE", pressed: HTMLButtonElement) => void} act */
function keyLines({ url, created_at: madeAt, key }, act) {
  const make = button(madeAt ? t.renew : t.make, { kind: "small", icon: "key", "data-action": "make-key", onClick: () => { act("POST", make); } });
  const revoke = button(t.revoke, { kind: "small", icon: "close", "data-action": "revoke-key", onClick: () => { act("DELETE", revoke); } });
  const state = key ? t.once : madeAt ? t.madeAt(formatShortDateTime(madeAt)) : t.none;
  return [
    h("p", { class: "small" }, t.url), copyBox(url, { label: t.url, copy: en.copy, copied: t.urlCopied }),
    key && h("p", { class: "small" }, t.key), key && copyBox(key, { label: t.key, copy: en.copy, copied: t.keyCopied }),
    h("p", { class: "small muted" }, state),
    h("div", { class: "row" }, make, madeAt && revoke),
  ];
}
