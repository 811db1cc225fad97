/** Promotion codes: which there are, and a form for a new one. */

import { badge, banner, button, h, openDialog, replace, setBusy, toast } from "../dom.js";
import { getConfig } from "../api.js";
import { endCode, find, getCodes, makeCode } from "./api.js";
import { exponent, formatMoney, parseAmount } from "../format.js";
import { admin } from "../strings/admin.en.js";
import { en, errorText } from "../strings/en.js";

/** @typedef {import("./api.js").Code} Code */

const t = admin.codes;

/** @type {import("../admin.js").Section} */
export async function codes() {
  const list = h("div");
  const show = async () => { replace(list, codeList((await getCodes()).promotions, show)); };
  const [{ currencies }] = await Promise.all([getConfig(), show()]);
  return h("section", { class: "card stack", "aria-labelledby": "codes-title", id: "codes" }, h("h2", { id: "codes-title" }, t.title), list,
    newCode(currencies.map(({ code }) => code), show));
}

/** @param {Code[]} all @param {() => Promise<void>} show */
function codeList(all, show) {
  if (all.length === 0) return h("p", { class: "muted" }, t.none);
  return h("ul", { class: "admin__list" }, all.map((code) => h("li", { class: "admin__line" },
    h("div", null, h("p", { class: "admin__name numbers" }, code.code, " ", !code.active && badge("", t.ended)), h("p", { class: "small muted" }, facts(code))),
    code.active && button(t.end, { kind: "small", "aria-label": `${t.end}: ${code.code}`, onClick: () => { end(code, show); } }))));
}

/** @param {Code} code */
function facts({ percent, amount_minor, currency, room, uses, uses_left, once_per_person, expires_at }) {
  const off = percent === null ? formatMoney({ amount_minor: amount_minor ?? 0, currency: currency ?? "" }) : `${percent} %`;
  return [off, room ? room.title ?? room.id : t.everyRoom, t.uses(uses, uses_left), once_per_person && t.once,
    expires_at && t.until(new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }).format(new Date(expires_at)))].filter(Boolean).join(" · ");
}

/** @param {Code} code @param {() => Promise<void>} show */
async function end(code, show) {
  const sure = await openDialog({ title: t.endTitle, body: h("p", null, t.endText), closeLabel: en.close, actions: [{ text: en.cancel, value: false }, { text: t.endYes, kind: "danger", value: true }] }).closed;
  if (!sure) return;
  try {
    await endCode(code.id);
    await show();
  } catch (error) {
    toast(errorText(error), { kind: "danger" });
  }
}

/** @param {string} name @param {string} label @param {HTMLElement} input @param {string} [help] */
function field(name, label, input, help) {
  return h("div", { class: "field" }, h("label", { class: "field__label", for: `new-code-${name}` }, label), input, help && h("p", { class: "field__help", id: `new-code-${name}-help` }, help));
}

/** @param {string} name @param {Record<string, any>} [more] @param {boolean} [helped] */
const input = (name, more = {}, helped = false) => h("input", { class: "field__input", id: `new-code-${name}`, name, autocomplete: "off", "aria-describedby": helped && `new-code-${name}-help`, ...more });

/** @param {string[]} currencies @param {() => Promise<void>} show */
function newCode(currencies, show) {
  const code = input("code", { maxlength: 32, autocapitalize: "characters", spellcheck: "false" }, true);
  const takes = h("select", { class: "field__input", id: "new-code-takes" }, h("option", { value: "percent" }, t.percent), currencies.map((one) => h("option", { value: one }, one.toUpperCase())));
  const value = input("value", { inputmode: "decimal", required: true });
  const room = input("room", { maxlength: 300 }, true);
  const uses = input("uses", { inputmode: "numeric" }, true);
  const expires = input("expires", { type: "datetime-local" });
  const once = h("input", { type: "checkbox", id: "new-code-once" });
  const problem = h("div", { role: "alert" });
  const make = h("button", { class: "button button--primary", type: "submit" }, h("span", null, t.make));

  const read = async () => {
    const by = takes.value;
    const amount = by === "percent" ? parseAmount(value.value, 0) : parseAmount(value.value, exponent(by));
    if (!amount) throw new Error(admin.wrong[by === "percent" ? "number" : "amount"]);
    const limit = uses.value.trim() ? parseAmount(uses.value, 0) : null;
    if (uses.value.trim() && !limit) throw new Error(admin.wrong.number);
    const wanted = room.value.trim();
    const found = wanted ? (await find(wanted)).rooms : [];
    if (wanted && found.length !== 1) throw new Error(t.roomUnknown);
    return {
      ...(code.value.trim() ? { code: code.value.trim() } : {}), ...(by === "percent" ? { percent: amount } : { amount_minor: amount, currency: by }),
      ...(wanted ? { room_id: found[0].id } : {}), ...(limit ? { uses: limit } : {}), once_per_person: once.checked,
      ...(expires.value ? { expires_at: new Date(expires.value).toISOString() } : {}),
    };
  };
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    setBusy(make, true);
    replace(problem);
    try {
      const made = await makeCode(await read());
      toast(t.made(made.code));
      /** @type {HTMLFormElement} */ (make.form).reset();
      await show();
    } catch (error) {
      const { code: refused, message } = /** @type {{code?: string, message: string}} */ (error);
      replace(problem, banner("danger", { text: refused ? errorText(error) : message }));
    }
    setBusy(make, false);
  };
  return h("form", { class: "stack", novalidate: true, id: "new-code", on: { submit } }, h("h3", null, t.newTitle),
    h("div", { class: "admin__fields" }, field("code", t.code, code, t.codeHelp), field("takes", t.takes, takes), field("value", t.amount, value),
      field("room", t.room, room, t.roomHelp), field("uses", t.limit, uses, t.limitHelp), field("expires", t.expires, expires)),
    h("label", { class: "check" }, once, h("span", null, t.oncePerson)), problem, h("div", null, make));
}
