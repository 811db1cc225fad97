/** Offers who is signed in to take what was bought or opened without an account into theirs. */

import { banner, button, h, linkButton, replace, setBusy } from "./dom.js";
import { en, errorText } from "./strings/en.js";

/**
 * @param {{title: string, text: string, action: string, done: string, href: string}} words `href`: where it is found afterwards
 * @param {() => Promise<unknown>} take throws what the API refuses
 * @returns {HTMLElement}
 */
export function keepPanel({ title, text, action, done, href }, take) {
  const problem = h("div", { role: "status" });
  const pressed = button(action, { icon: "plus", onClick: async () => {
    setBusy(pressed, true);
    try {
      await take();
      replace(problem, banner("success", { text: done, actions: [linkButton(en.show, href, { kind: "small" })] }));
      pressed.remove();
    } catch (error) {
      setBusy(pressed, false);
      replace(problem, banner("danger", { text: errorText(error) }));
    }
  } });
  return h("section", { class: "card card--flat stack no-print", "data-keep": "" }, h("h2", null, title), h("p", { class: "muted" }, text), problem, h("div", null, pressed));
}
