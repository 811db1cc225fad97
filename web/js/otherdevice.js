/** "Continue on another device": makes the link that carries the pass there. On the receipt and in the call. */

import { banner, button, copyBox, h, replace, setBusy } from "./dom.js";
import { en, errorText } from "./strings/en.js";

const t = en.receipt;

/**
 * A button that turns into the link. Each link makes the one before it invalid, so none is made unasked.
 * @param {() => Promise<{url: string}>} makeLink @returns {HTMLElement[]}
 */
export function deviceLink(makeLink) {
  const holder = h("div", { class: "stack stack--tight", role: "status" });
  const make = button(t.deviceMake, { icon: "phone", id: "make-link", onClick: async () => {
    setBusy(make, true);
    try {
      const { url } = await makeLink();
      replace(holder, copyBox(url, { label: t.deviceLabel, copy: en.copy, copied: t.deviceCopied }), h("p", { class: "small muted" }, t.deviceKeep));
    } catch (error) {
      replace(holder, banner("danger", { text: errorText(error) }));
    } finally {
      setBusy(make, false);
    }
  } });
  return [h("p", { class: "muted" }, t.deviceText), h("div", null, make), holder];
}
