// The place beside the faces: chat, people, payment. One at a time; a sheet over the call on a phone.

import { h, replace } from "./dom.js";
import { icon } from "./icons.js";
import { call as text } from "./strings/call.en.js";

/** @typedef {{title: string, element: HTMLElement, scrolls?: boolean, focus?: () => void, closed?: () => void}} Page */

/** Events: `change` (`detail`: the open page's name or ""). */
export class Panel extends EventTarget {
  /** @param {HTMLElement} element */
  constructor(element) {
    super();
    this.element = element;
    /** @type {Map<string, Page>} */
    this._pages = new Map();
    this.open = "";
    /** @type {HTMLElement|null} */
    this._opener = null;
    this.heading = h("h2", { class: "panel__title", tabindex: -1, id: "panel-title" });
    const cross = h("button", { type: "button", class: "button button--quiet button--round", "aria-label": text.closePanel, on: { click: () => this.close() } }, icon("close"));
    this.body = h("div", { class: "panel__body" });
    element.setAttribute("aria-labelledby", "panel-title");
    replace(element, h("div", { class: "panel__head" }, this.heading, cross), this.body);
    element.hidden = true;
  }

  /** @param {string} name @param {Page} page */
  add(name, page) {
    page.element.hidden = true;
    // What scrolls must be reached by a keyboard, also when nothing in it can be pressed.
    if (page.scrolls !== false) setGroup(page.element, page.title);
    this._pages.set(name, page);
    this.body.append(page.element);
  }

  /** @param {string} name @param {{focus?: boolean}} [options] */
  show(name, { focus = true } = {}) {
    const page = this._pages.get(name);
    if (!page || this.open === name) return;
    if (this.open) this._pages.get(this.open)?.closed?.();
    else this._opener = /** @type {HTMLElement|null} */ (document.activeElement);
    for (const [other, { element }] of this._pages) element.hidden = other !== name;
    this.heading.textContent = page.title;
    this._set(name);
    if (focus) (page.focus ?? (() => this.heading.focus()))();
  }

  close() {
    if (!this.open) return;
    this._pages.get(this.open)?.closed?.();
    const inside = this.element.contains(document.activeElement);
    this._set("");
    if (inside) this._opener?.focus();
  }

  /** @param {string} name */
  toggle(name) {
    if (this.open === name) this.close();
    else this.show(name);
  }

  /** @param {string} name */
  _set(name) {
    this.open = name;
    this.element.hidden = name === "";
    document.body.dataset.panel = name;
    this.dispatchEvent(new CustomEvent("change", { detail: name }));
  }
}

/** @param {HTMLElement} element @param {string} label */
function setGroup(element, label) {
  element.tabIndex = 0;
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", label);
}
