// Who is in, for the host: time left, what was paid, how the line is, and what can be done.

import { h, replace, openDialog } from "./dom.js";
import { icon } from "./icons.js";
import { lineBars, speakingSign } from "./signs.js";
import { formatClock, formatMoney, formatUsed, initial } from "./format.js";
import { remainingMs, usedMs } from "./protocol.js";
import { levelOf } from "./meter.js";
import { call, studio as text } from "./strings/call.en.js";

/** @typedef {import("./protocol.js").Participant} Participant */
/** @typedef {import("./peers.js").Quality|NonNullable<Participant["reception"]>|"away"|""} Quality how somebody's line is */
/** @typedef {{element: HTMLLIElement, person: Participant, time: HTMLElement, line: HTMLElement, actions: HTMLElement, facts: HTMLElement, name: HTMLElement, key: string}} Row */
/**
 * @typedef {object} RosterActions
 * @property {(participantId: string) => void} mute
 * @property {(participantId: string, publish: boolean) => void} grant
 * @property {(participantId: string, refund: boolean) => void} kick
 */

const TICK_MS = 500;

export class Roster {
  /** @param {RosterActions} actions @param {{now?: () => number, byUse?: boolean}} [options] `byUse`: time is paid for as it is used */
  constructor(actions, { now = () => performance.now(), byUse = false } = {}) {
    this._actions = actions;
    this._byUse = byUse;
    this._now = now;
    this._receivedMs = 0;
    this._conference = false;
    /** @type {Map<string, Row>} */
    this._rows = new Map();
    /** @type {Record<string, Quality>} */
    this._qualities = {};
    this.list = h("ul", { class: "roster__list" });
    this.empty = h("p", { class: "muted roster__empty" }, text.rosterEmpty);
    this.element = h("div", { class: "roster" }, this.empty, this.list);
    setInterval(() => this._tick(), TICK_MS);
  }

  get count() {
    return this._rows.size;
  }

  /** @param {Participant[]} people payers only @param {boolean} conference */
  show(people, conference) {
    this._receivedMs = this._now();
    this._conference = conference;
    const ids = new Set(people.map((person) => person.participant_id));
    for (const [id, row] of this._rows) {
      if (ids.has(id)) continue;
      row.element.remove();
      this._rows.delete(id);
    }
    for (const person of people) this._place(person);
    this.empty.hidden = people.length > 0;
    this._tick();
  }

  /** How their tracks arrive here: the word on a line of which the server says nothing. @param {Record<string, Quality>} qualities by participant */
  setQualities(qualities) {
    this._qualities = qualities;
  }

  /** @param {string[]|null} participantIds */
  speak(participantIds) {
    for (const [id, row] of this._rows) row.element.dataset.speaking = participantIds?.includes(id) ? "yes" : "no";
  }

  /** @param {Participant} person */
  _place(person) {
    const row = this._rows.get(person.participant_id) ?? this._makeRow(person);
    row.person = person;
    replace(row.name, h("span", null, person.name || call.nameless), speakingSign());
    row.facts.textContent = person.paid ? text.paid(formatMoney(person.paid)) : "";
    // Rebuilding buttons would take the focus away from whoever is on one.
    const key = `${person.publish} ${person.media?.microphone}`;
    if (key !== row.key) replace(row.actions, this._buttons(person));
    row.key = key;
  }

  /** @param {Participant} person @returns {Row} */
  _makeRow(person) {
    const name = h("p", { class: "roster__name" });
    const facts = h("p", { class: "small muted" });
    const line = h("span", { class: "roster__line" });
    const time = h("p", { class: "roster__time roster__clock numbers" });
    const actions = h("div", { class: "roster__actions" });
    const element = h("li", { class: "roster__row", dataset: { participant: person.participant_id, speaking: "no" } },
      h("span", { class: "avatar", "aria-hidden": "true" }, initial(person.name || call.nameless)),
      name, time, h("div", { class: "roster__facts" }, facts, line), actions);
    const row = { element, person, time, line, actions, facts, name, key: "" };
    this._rows.set(person.participant_id, row);
    this.list.append(element);
    return row;
  }

  /** @param {Participant} person */
  _buttons({ participant_id: id, name, publish, media }) {
    const who = name || call.nameless;
    const speak = this._conference && act(publish ? "hand" : "microphone", publish ? text.stopSpeak : text.letSpeak, who, "grant", () => this._actions.grant(id, !publish));
    const mute = publish && media?.microphone && act("microphone-off", text.mute, who, "mute", () => this._actions.mute(id));
    return [speak, mute, act("remove", text.remove, who, "kick", () => this._askRemove(id, who))];
  }

  /** @param {string} id @param {string} name */
  async _askRemove(id, name) {
    const refund = choices("remove", [["refund", text.removeRefund, text.removeRefundNote], ["keep", text.removeKeep, text.removeKeepNote]]);
    const { closed } = openDialog({ title: text.removeTitle(name), body: [h("p", null, text.removeBody(name)), refund.element],
      actions: [{ text: text.cancel, value: false, kind: "quiet" }, { text: text.removeGo, value: true, kind: "danger", icon: "remove" }] });
    if (await closed) this._actions.kick(id, refund.value() === "refund");
  }

  _tick() {
    for (const row of this._rows.values()) this._drawTime(row);
  }

  /** @param {Row} row */
  _drawTime({ person, time, line, element }) {
    const { meter } = person;
    const words = /** @type {Record<string, string>} */ (text.meter);
    const left = meter ? remainingMs(meter, this._receivedMs, this._now()) : null;
    const clock = !meter ? "" : left === null ? words.unlimited : formatClock(left);
    const level = meter ? levelOf(meter, left) : "paused";
    const used = this._byUse && meter ? usedMs(meter, left) : null;
    time.textContent = used === null ? clock : text.used(formatUsed(used));
    // Where another hold may follow, little left is no reason to worry.
    element.dataset.level = used === null || level === "paused" ? level : "calm";
    element.dataset.meterState = meter?.state ?? "";
    this._drawLine(line, person);
  }

  /** Why the clock stands still, or how the line is. @param {HTMLElement} line @param {Participant} person */
  _drawLine(line, { participant_id: id, meter, reception }) {
    const words = /** @type {Record<string, string>} */ (text.meter);
    const away = meter?.state === "paused" && meter.reason === "payer_away";
    const quality = away ? "away" : reception ?? this._qualities[id] ?? "";
    const note = !away && meter && meter.state !== "counting" ? words[meter.state] ?? "" : "";
    if (line.dataset.shown === quality + note) return;
    line.dataset.shown = quality + note;
    line.dataset.quality = note ? "" : quality;
    if (note) replace(line, icon("pause"), h("span", { class: "small" }, note));
    else replace(line, quality && (away ? icon("offline") : lineBars(quality)), quality && h("span", { class: "small" }, /** @type {Record<string, string>} */ (text.quality)[quality]));
  }
}

/** @param {string} name @param {string} label @param {string} who @param {string} action @param {() => void} onClick */
function act(name, label, who, action, onClick) {
  return h("button", { type: "button", class: "button button--quiet button--round", title: label, "aria-label": `${label}: ${who}`, dataset: { action }, on: { click: onClick } }, icon(name));
}

/**
 * Cards to choose one of; the first is chosen.
 * @param {string} name @param {[string, string, string][]} options value, title, note
 * @returns {{element: HTMLElement, value: () => string}}
 */
export function choices(name, options) {
  const element = h("div", { class: "choices choices--single", role: "radiogroup" }, options.map(([value, title, note], i) =>
    h("label", { class: "choice" }, h("input", { type: "radio", name, value, checked: i === 0 }),
      h("span", { class: "choice__body" }, h("span", { class: "choice__title" }, title), h("span", { class: "choice__note" }, note)))));
  return { element, value: () => /** @type {HTMLInputElement} */ (element.querySelector("input:checked")).value };
}
