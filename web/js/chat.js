// The chat: messages and notices in one list. Text is text: a link is not clickable, so nobody is led away by one.

import { h, append } from "./dom.js";
import { icon } from "./icons.js";
import { formatTime } from "./format.js";
import { call as text } from "./strings/call.en.js";

const LINES_MAX = 500;
const LENGTH_MAX = 2000;
const NEAR_END_PX = 60;

const NOTICE_ICONS = { paid: "card", extended: "clock", joined: "people", left: "people", warning: "clock", locked: "lock", unlocked: "unlock", host_away: "pause", host_back: "play", muted: "microphone-off", granted: "microphone" };

/** Events: `line` when something was added that somebody may want to see. */
export class Chat extends EventTarget {
  /** @param {{send: (text: string) => boolean}} options `send`: false when it could not be sent */
  constructor({ send }) {
    super();
    this._send = send;
    this.list = h("ol", { class: "chat__lines" });
    this.scroller = h("div", { class: "chat__list", role: "log", "aria-label": text.chat, tabindex: 0 }, this.list);
    this.empty = h("p", { class: "chat__empty muted" }, text.chatEmpty);
    this.input = h("textarea", { class: "field__input chat__input", rows: 1, maxlength: LENGTH_MAX, placeholder: text.chatPlaceholder, "aria-label": text.chatLabel });
    this.problem = h("p", { class: "field__error", role: "alert", hidden: true }, text.notSent);
    const submit = h("button", { type: "submit", class: "button button--primary button--round", "aria-label": text.send }, icon("send"));
    const form = h("form", { class: "chat__form", on: { submit: (/** @type {Event} */ event) => this._submit(event) } }, this.input, submit);
    this.input.addEventListener("keydown", (event) => this._key(event));
    this.element = h("div", { class: "chat" }, this.empty, this.scroller, this.problem, form);
  }

  /** @param {{participant_id: string, name: string, text: string, sent_at?: string}} message @param {boolean} own */
  message({ name, text: words, sent_at: sentAt }, own) {
    this._add(h("li", { class: own ? "chat__line chat__line--own" : "chat__line" },
      h("p", { class: "chat__from" }, h("span", null, own ? text.you : name || text.nameless), " ", time(sentAt)),
      h("p", { class: "chat__text" }, words)));
  }

  /** @param {string} kind @param {string} words @param {string} [sentAt] */
  notice(kind, words, sentAt) {
    const name = /** @type {Record<string, string>} */ (NOTICE_ICONS)[kind] ?? "info";
    this._add(h("li", { class: "chat__notice", dataset: { kind } }, icon(name), h("span", null, words), time(sentAt)));
  }

  /** @param {HTMLElement} line */
  _add(line) {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    const atEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    this.empty.hidden = true;
    append(this.list, line);
    while (this.list.childElementCount > LINES_MAX) this.list.firstElementChild?.remove();
    // Who reads further up is not pulled down.
    if (atEnd) this.scrollToEnd();
    this.dispatchEvent(new CustomEvent("line"));
  }

  scrollToEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) this._submit(event);
  }

  /** @param {Event} event */
  _submit(event) {
    event.preventDefault();
    const words = this.input.value.trim();
    if (!words) return;
    const sent = this._send(words);
    this.problem.hidden = sent;
    if (sent) this.input.value = "";
  }
}

/** @param {string} [sentAt] */
function time(sentAt) {
  return h("time", { class: "chat__time", ...(sentAt ? { datetime: sentAt } : {}) }, formatTime(sentAt ?? Date.now()));
}
