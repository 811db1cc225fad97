/** Rates, fees and terms: where something is set, and the form that sets it. */

import { banner, button, h, replace, setBusy, toast } from "../dom.js";
import { getConfig } from "../api.js";
import { clearPlace, find, getPlace, getPlaces, setPlace } from "./api.js";
import { FigureError, GROUPS, figureText, readFigures } from "./figures.js";
import { formatMoney } from "../format.js";
import { admin } from "../strings/admin.en.js";
import { errorText } from "../strings/en.js";

/** @typedef {import("./api.js").Place} Place */
/** @typedef {import("./api.js").Scope} Scope */
/** @typedef {import("./figures.js").Figure} Figure */
/** @typedef {{settable: string[], defaults: Record<string, any>, currencies: string[]}} Facts */

const t = admin.rates;

/** @type {import("../admin.js").Section} */
export async function rates() {
  const body = h("div", { class: "stack", id: "rates" });
  await showPlaces(body);
  return h("section", { class: "card stack", "aria-labelledby": "rates-title" }, h("h2", { id: "rates-title" }, t.title), h("p", { class: "muted" }, t.lead), body);
}

/** @param {HTMLElement} body */
async function showPlaces(body) {
  const [{ places, figures, defaults }, { currencies }] = await Promise.all([getPlaces(), getConfig()]);
  /** @type {Facts} */
  const facts = { settable: figures, defaults, currencies: currencies.map(({ code }) => code) };
  const edit = (/** @type {Scope} */ scope, /** @type {string} */ subject, /** @type {string | null} */ label) => { showForm(body, facts, { scope, subject, label }); };
  replace(body, h("h3", null, t.places),
    places.length === 0 ? h("p", { class: "muted" }, t.none) : h("ul", { class: "admin__list" }, places.map((place) => placeLine(place, edit))),
    h("h3", null, t.set), h("div", { class: "row" },
      button(t.everyone, { kind: "small", onClick: () => edit("default", "", null) }),
      button(t.roles.host, { kind: "small", onClick: () => edit("role", "host", null) })),
    finder(edit));
}

/** @param {Place} place @param {(scope: Scope, subject: string, label: string | null) => void} edit */
function placeLine({ scope, subject, label = null, figures }, edit) {
  const name = placeName(scope, subject, label);
  return h("li", { class: "admin__line" },
    h("div", null, h("p", { class: "admin__name" }, name), h("p", { class: "small muted" }, summary(figures))),
    button(t.change, { kind: "small", "aria-label": `${t.change}: ${name}`, onClick: () => edit(scope, subject, label) }));
}

/** @param {Scope} scope @param {string} subject @param {string | null} label */
function placeName(scope, subject, label) {
  if (scope === "default") return t.everyone;
  if (scope === "role") return /** @type {Record<string, string>} */ (t.roles)[subject] ?? subject;
  return (scope === "user" ? t.person : t.room)(label ?? subject);
}

/** @param {Record<string, any>} figures */
function summary(figures) {
  return GROUPS.flatMap((group) => group.figures).filter(({ name }) => name in figures && name !== "currency")
    .map((figure) => `${figureLabel(figure)}: ${shown(figure, figures[figure.name], figures.currency)}`).join(" · ");
}

/** @param {Figure} figure */
const figureLabel = ({ name }) => /** @type {Record<string, string>} */ (t.figures)[name] ?? name;

/** A figure for reading. @param {Figure} figure @param {any} value @param {string | undefined} currency */
function shown(figure, value, currency) {
  if (figure.kind === "money" && currency) return formatMoney({ amount_minor: value, currency });
  if (figure.kind === "switch") return value ? t.yes : t.no;
  if (figure.kind === "word") return /** @type {Record<string, string>} */ (t.words)[value] ?? value;
  if (figure.kind === "percent") return `${figureText(figure, value, currency)} %`;
  return figureText(figure, value, currency);
}

/** @param {(scope: Scope, subject: string, label: string) => void} edit */
function finder(edit) {
  const input = h("input", { class: "field__input", id: "find-place", maxlength: 300, autocomplete: "off" });
  const go = h("button", { class: "button", type: "submit" }, h("span", null, t.find));
  const found = h("div", { role: "status" });
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    setBusy(go, true);
    try {
      const { people, rooms } = await find(input.value);
      const lines = [
        ...people.map((one) => button(t.person(one.email), { kind: "small", onClick: () => edit("user", one.id, one.email) })),
        ...rooms.map((one) => button(`${t.room(one.title)} · ${one.host_name}`, { kind: "small", onClick: () => edit("room", one.id, one.title) })),
      ];
      replace(found, lines.length ? h("div", { class: "row" }, lines) : h("p", { class: "muted" }, t.nobody));
    } catch (error) {
      replace(found, banner("danger", { text: errorText(error) }));
    }
    setBusy(go, false);
  };
  return h("form", { class: "stack stack--tight", on: { submit } },
    h("div", { class: "admin__find" }, h("div", { class: "field" }, h("label", { class: "field__label", for: "find-place" }, t.findLabel), input), go), found);
}

// --- the form ---

/** @param {HTMLElement} body @param {Facts} facts @param {{scope: Scope, subject: string, label: string | null}} at */
async function showForm(body, facts, { scope, subject, label }) {
  const problem = h("div", { role: "alert" });
  const fail = (/** @type {unknown} */ error) => { replace(problem, banner("danger", { text: errorText(error) })); };
  const toPlaces = () => showPlaces(body).catch(fail);
  const place = await getPlace(scope, subject).catch((error) => { body.prepend(problem); fail(error); return null; });
  if (!place) return;
  const fields = makeFields(place, facts);
  const save = h("button", { class: "button button--primary", type: "submit" }, h("span", null, t.save));
  const clear = button(t.clear, { kind: "danger", onClick: () => run(clear, () => clearPlace(scope, subject), t.cleared) });
  /** @param {HTMLButtonElement} pressed @param {() => Promise<any>} work @param {string} done */
  const run = async (pressed, work, done) => {
    setBusy(pressed, true);
    replace(problem);
    try {
      await work();
      toast(done);
      await toPlaces();
    } catch (error) {
      if (error instanceof FigureError) showWrong(fields, error); else fail(error);
    }
    setBusy(pressed, false);
  };
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    clearWrong(fields);
    run(save, async () => setPlace(scope, subject, readFigures(textsOf(fields), place.figures)), admin.saved);
  };
  const heading = h("h3", { class: "admin__place", tabindex: "-1" }, t.heading(placeName(scope, subject, label)));
  replace(body, heading, h("form", { class: "stack", novalidate: true, id: "rates-form", on: { submit } },
    GROUPS.map((group) => groupOf(group, fields)), problem,
    h("div", { class: "row" }, save, button(t.back, { kind: "quiet", onClick: () => { toPlaces(); } }), Object.keys(place.figures).length > 0 && clear)));
  heading.focus();
}

/** @typedef {{figure: Figure, input: HTMLInputElement | HTMLSelectElement, error: HTMLElement, element: HTMLElement}} Field */

/** @param {Place} place @param {Facts} facts @returns {Field[]} */
function makeFields(place, facts) {
  return GROUPS.flatMap((group) => group.figures).filter(({ name, only }) => facts.settable.includes(name) && (!only || only === place.scope)).map((figure) => {
    const id = `figure-${figure.name}`;
    const described = { id, name: figure.name, "aria-describedby": `${id}-help ${id}-error` };
    const value = figureText(figure, place.figures[figure.name], place.figures.currency);
    const options = optionsOf(figure, facts);
    const input = options
      ? h("select", { class: "field__input", ...described }, h("option", { value: "" }, t.otherwise), options.map(([one, text]) => h("option", { value: one, selected: one === value }, text)))
      : h("input", { class: "field__input", ...described, value, autocomplete: "off", inputmode: ["text", "url", "packages"].includes(figure.kind) ? "text" : "decimal", maxlength: 500 });
    const error = h("p", { class: "field__error", id: `${id}-error`, hidden: true });
    const otherwise = elsewhere(figure, place, facts);
    const element = h("div", { class: "field" }, h("label", { class: "field__label", for: id }, figureLabel(figure)), input,
      h("p", { class: "field__help", id: `${id}-help` }, otherwise), error);
    return { figure, input, error, element };
  });
}

/** @param {Figure} figure @param {Facts} facts @returns {[string, string][] | null} */
function optionsOf({ kind, words = [] }, { currencies }) {
  if (kind === "currency") return currencies.map((code) => [code, code.toUpperCase()]);
  if (kind === "switch") return [["yes", t.yes], ["no", t.no]];
  if (kind === "word") return words.map((word) => [word, /** @type {Record<string, string>} */ (t.words)[word]]);
  return null;
}

/** What holds where this place says nothing, as far as it is known here. @param {Figure} figure @param {Place} place @param {Facts} facts */
function elsewhere(figure, { figures, holds }, { defaults }) {
  if (figure.name in figures || figure.kind === "currency") return "";
  const value = holds ? holds[figure.name]?.value : defaults[figure.name];
  return value === undefined || value === null ? "" : t.holds(shown(figure, value, holds?.currency?.value));
}

/** @param {{title: string, figures: Figure[]}} group @param {Field[]} fields */
function groupOf({ title, figures }, fields) {
  const here = fields.filter(({ figure }) => figures.includes(figure));
  if (here.length === 0) return null;
  return h("fieldset", { class: "admin__group" }, h("legend", null, /** @type {Record<string, string>} */ (t.groups)[title]),
    h("div", { class: "admin__fields" }, here.map(({ element }) => element)));
}

/** @param {Field[]} fields */
const textsOf = (fields) => Object.fromEntries(fields.map(({ figure, input }) => [figure.name, input.value]));

/** @param {Field[]} fields @param {FigureError} error */
function showWrong(fields, { figure, code }) {
  const field = fields.find((one) => one.figure.name === figure);
  if (!field) return;
  field.error.textContent = /** @type {Record<string, string>} */ (admin.wrong)[code];
  field.error.hidden = false;
  field.input.setAttribute("aria-invalid", "true");
  field.input.focus();
}

/** @param {Field[]} fields */
function clearWrong(fields) {
  for (const { input, error } of fields) { error.hidden = true; input.removeAttribute("aria-invalid"); }
}
