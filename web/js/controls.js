// The bar of buttons under the call, and the keys that do the same.

import { h, replace } from "./dom.js";
import { icon } from "./icons.js";
import { call as text } from "./strings/call.en.js";

/** @typedef {{icon: string, label: string, off?: boolean, open?: boolean, badge?: number}} ControlLook */

export class Control {
  /** @param {{name: string, kind?: string, onClick: () => void}} options */
  constructor({ name, kind = "", onClick }) {
    this.sign = h("span", { class: "control__sign" });
    this.label = h("span", { class: "control__label" });
    this.badge = h("span", { class: "control__badge numbers", hidden: true });
    this.element = h("button", { type: "button", class: `control ${kind && `control--${kind}`}`.trim(), dataset: { control: name }, on: { click: onClick } },
      this.sign, this.label, this.badge);
  }

  /** @param {ControlLook} look */
  set({ icon: name, label, off = false, open, badge = 0 }) {
    replace(this.sign, icon(name));
    this.label.textContent = label;
    this.element.title = label;
    this.element.dataset.off = off ? "yes" : "no";
    if (open !== undefined) this.element.setAttribute("aria-expanded", String(open));
    this.badge.hidden = badge === 0;
    replace(this.badge, badge > 99 ? "99+" : String(badge), h("span", { class: "visually-hidden" }, ` ${text.unread(badge)}`));
    return this;
  }

  /** @param {boolean} shown */
  show(shown) {
    this.element.hidden = !shown;
  }
}

/**
 * Single keys, for the whole page. Not while somebody writes, not together with Ctrl, Alt or Meta, not under a dialog.
 * @param {Record<string, () => void>} keys by lower-case key name
 */
export function onKeys(keys) {
  document.addEventListener("keydown", (event) => {
    const action = keys[event.key.toLowerCase()];
    if (!action || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key !== "Escape" && writing(event.target)) return;
    event.preventDefault();
    action();
  });
}

/** @param {EventTarget|null} target */
function writing(target) {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable]") !== null;
}
