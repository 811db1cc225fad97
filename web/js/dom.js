/** Building pages: elements from plain calls, text only as text. Nothing here, and nothing in these pages, parses HTML. */

import { icon } from "./icons.js";

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element. `props`: `class`, `dataset`, `on` (`{click: listener}`), `value`, `checked`, `disabled` and other properties of
 * form controls as properties; everything else as an attribute (`true` is an empty one; `null`, `undefined`, `false` leave it out).
 * Children that are strings become text nodes.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any> | null} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) setProp(element, name, value);
  append(element, ...children);
  return element;
}

const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "hidden", "srcObject", "muted", "textContent"]);

/** @param {HTMLElement} element @param {string} name @param {any} value */
function setProp(element, name, value) {
  if (name === "dataset") Object.assign(element.dataset, value);
  else if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
  else if (PROPERTIES.has(name)) /** @type {any} */ (element)[name] = value;
  else if (value === true) element.setAttribute(name, "");
  else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
}

/** Append what is there; null, undefined and false are nothing. @param {Element} parent @param {...(Child | Child[])} children */
export function append(parent, ...children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : String(child));
  }
}

/** Put these in place of all children. @param {Element} parent @param {...(Child | Child[])} children */
export function replace(parent, ...children) {
  parent.replaceChildren();
  append(parent, ...children);
}

/** The element of that id; throws when the template lacks it. @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** The JSON data block `<script type="application/json" id=…>`, or null without one. @param {string} id @returns {any} */
export function dataBlock(id) {
  const block = document.getElementById(id);
  return block ? JSON.parse(block.textContent || "null") : null;
}

/**
 * A button with an optional icon.
 * @param {string} text
 * @param {{icon?: string, kind?: string, onClick?: (event: MouseEvent) => void, [attribute: string]: any}} [options]
 *   `kind`: space separated modifiers, as in "primary wide"
 */
export function button(text, { icon: iconName, kind = "", onClick, ...rest } = {}) {
  return h("button", { type: "button", class: buttonClass(kind), on: onClick ? { click: onClick } : {}, ...rest },
    iconName && icon(iconName), h("span", null, text));
}

/** A link that looks like a button. @param {string} text @param {string} href @param {{icon?: string, kind?: string, [attribute: string]: any}} [options] */
export function linkButton(text, href, { icon: iconName, kind = "", ...rest } = {}) {
  return h("a", { href, class: buttonClass(kind), ...rest }, iconName && icon(iconName), h("span", null, text));
}

/** @param {string} kind */
function buttonClass(kind) {
  return ["button", ...kind.split(" ").filter(Boolean).map((word) => `button--${word}`)].join(" ");
}

/** Mark a button as working; pressing it again does nothing meanwhile. @param {HTMLButtonElement} element @param {boolean} busy */
export function setBusy(element, busy) {
  element.disabled = busy;
  if (busy) element.setAttribute("aria-busy", "true");
  else element.removeAttribute("aria-busy");
}

/** @param {"live" | "success" | "warning" | "danger" | "accent" | ""} kind @param {string} text @param {string} [iconName] */
export function badge(kind, text, iconName) {
  return h("span", { class: kind ? `badge badge--${kind}` : "badge" },
    iconName ? icon(iconName) : kind === "live" && h("span", { class: "badge__dot" }), text);
}

const BANNER_ICONS = { info: "info", success: "check-circle", warning: "warning", danger: "warning" };

/**
 * A banner: what happened, and what to do now.
 * @param {"info" | "success" | "warning" | "danger"} kind
 * @param {{title?: string, text?: Child, icon?: string, busy?: boolean, actions?: Child[]}} content
 */
export function banner(kind, { title, text, icon: iconName, busy, actions = [] }) {
  return h("div", { class: `banner banner--${kind}` },
    busy ? h("span", { class: "spinner" }) : icon(iconName ?? BANNER_ICONS[kind]),
    h("div", { class: "banner__body" }, title && h("p", { class: "banner__title" }, title), text && h("p", null, text)),
    actions);
}

/**
 * A short message that goes away by itself; screen readers speak it.
 * @param {string} text
 * @param {{kind?: "success" | "danger", icon?: string, duration_ms?: number}} [options]
 */
export function toast(text, { kind = "success", icon: iconName, duration_ms = 5000 } = {}) {
  let holder = document.querySelector(".toasts");
  if (!holder) document.body.append((holder = h("div", { class: "toasts", role: "status", "aria-live": "polite" })));
  const element = h("div", { class: `toast toast--${kind}` }, icon(iconName ?? (kind === "danger" ? "warning" : "check")), h("span", null, text));
  holder.append(element);
  setTimeout(() => element.remove(), duration_ms);
}

/** Say something to screen readers only. @param {string} text @param {"polite" | "assertive"} [manner] */
export function announce(text, manner = "polite") {
  const id = `announce-${manner}`;
  let region = document.getElementById(id);
  if (!region) document.body.append((region = h("div", { id, class: "visually-hidden", "aria-live": manner })));
  region.textContent = text;
}

let dialogs = 0;

/**
 * A modal dialog. Resolves when it is closed, with what `close(value)` got (undefined for Escape or the cross).
 * @param {{title: string, body: Child | Child[] | ((close: (value?: any) => void) => Child | Child[]), wide?: boolean, closeLabel?: string,
 *   actions?: {text: string, value?: any, kind?: string, icon?: string}[]}} options
 * @returns {{element: HTMLDialogElement, close: (value?: any) => void, closed: Promise<any>}}
 */
export function openDialog({ title, body, wide, actions = [], closeLabel = "Close" }) {
  const titleId = `dialog-title-${++dialogs}`;
  /** @type {any} */ let result;
  /** @param {any} [value] */
  const close = (value) => { result = value; element.close(); };
  const cross = h("button", { type: "button", class: "button button--quiet button--round", "aria-label": closeLabel, on: { click: () => close() } }, icon("close"));
  const element = h("dialog", { class: wide ? "dialog dialog--wide" : "dialog", "aria-labelledby": titleId },
    h("div", { class: "dialog__head" }, h("h2", { id: titleId }, title), cross),
    h("div", { class: "dialog__body stack" }, typeof body === "function" ? body(close) : body),
    actions.length > 0 && h("div", { class: "dialog__foot" },
      actions.map((action) => button(action.text, { kind: action.kind, icon: action.icon, onClick: () => close(action.value) }))));
  const closed = new Promise((resolve) => {
    element.addEventListener("close", () => { element.remove(); resolve(result); }, { once: true });
  });
  document.body.append(element);
  element.showModal();
  return { element, close, closed };
}

const RING_RADIUS = 44;
const RING_LENGTH = 2 * Math.PI * RING_RADIUS;

/**
 * The meter ring.
 * @returns {{element: HTMLElement, set: (state: {share: number | null, label: string, level: "calm" | "warning" | "urgent" | "paused", spoken?: string}) => void}}
 *   `share`: what is left, 0 to 1, null for unlimited; `spoken`: the label for screen readers
 */
export function meterRing() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 100");
  svg.setAttribute("aria-hidden", "true");
  const [track, value] = ["ring__track", "ring__value"].map((name) => {
    const circle = document.createElementNS(SVG, "circle");
    for (const [key, v] of Object.entries({ class: name, cx: 50, cy: 50, r: RING_RADIUS })) circle.setAttribute(key, String(v));
    return circle;
  });
  value.setAttribute("stroke-dasharray", String(RING_LENGTH));
  svg.append(track, value);
  const label = h("span", { class: "ring__label" });
  const element = h("div", { class: "ring", role: "timer", "aria-live": "off" }, svg, label);
  return {
    element,
    set({ share, label: text, level, spoken }) {
      value.setAttribute("stroke-dashoffset", String(RING_LENGTH * (1 - Math.min(1, Math.max(0, share ?? 1)))));
      label.textContent = text;
      element.dataset.level = level;
      element.setAttribute("aria-label", spoken ?? text);
    },
  };
}

/** A level meter of `bars` steps. @param {number} [bars] @param {string} [label] @returns {{element: HTMLElement, set: (level: number) => void}} `level` 0 to 1 */
export function levelMeter(bars = 16, label = "Microphone level") {
  const cells = Array.from({ length: bars }, () => h("span", { class: "level__bar" }));
  const element = h("div", { class: "level", role: "img", "aria-label": label }, cells);
  return {
    element,
    set(level) { cells.forEach((cell, i) => cell.toggleAttribute("data-on", (i + 0.5) / bars < level)); },
  };
}

/** A link in a box with its copy button. @param {string} text @param {{label: string, copy: string, copied: string}} words */
export function copyBox(text, { label, copy, copied }) {
  const input = h("input", { class: "copy__text", readonly: true, value: text, "aria-label": label, on: { focus: () => input.select() } });
  const copyButton = button(copy, { icon: "copy", kind: "small", onClick: async () => {
    if (await copyText(text, input)) toast(copied);
  } });
  return h("div", { class: "copy" }, input, copyButton);
}

/** To the clipboard; falls back to selecting `input`, so that the visitor can copy by hand. @param {string} text @param {HTMLInputElement} [input] */
export async function copyText(text, input) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    input?.focus();
    input?.select();
    return false;
  }
}
