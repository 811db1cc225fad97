/** Giving money back: the dialog that a host and the operator use for one purchase. */

import { banner, h, openDialog, replace, setBusy, toast } from "./dom.js";
import { exponent, formatMoney, formatShortDateTime, parseAmount } from "./format.js";
import { randomText } from "./orders.js";
import { giveback as t } from "./strings/giveback.en.js";
import { errorText } from "./strings/en.js";

/** @typedef {import("./api.js").RoomSale} RoomSale */
/** @typedef {{refund_id: string, state: string, amount_minor: number | null, currency: string}} Asked */

/** Is anything of it left that could go back? What is only held so far may become something. @param {RoomSale} sale */
export const mayGoBack = ({ paid_minor, refunded_minor, lost_minor }) => paid_minor === null || paid_minor > refunded_minor + lost_minor;

/** @param {unknown} error */
export const refusalText = (error) => t.wrong[/** @type {{code?: string}} */ (error).code ?? ""] ?? errorText(error);

/**
 * @param {RoomSale & {purpose?: string}} sale @param {string} what was sold
 * @param {(body: Record<string, any>) => Promise<Asked>} ask sends it
 * @returns {Promise<boolean>} whether it was asked for
 */
export async function giveBack(sale, what, ask) {
  const { closed } = openDialog({ title: t.title, body: (close) => form(sale, what, ask, () => close(true)) });
  return Boolean(await closed);
}

/** @param {RoomSale & {purpose?: string}} sale @param {string} what @param {(body: Record<string, any>) => Promise<Asked>} ask @param {() => void} done */
function form(sale, what, ask, done) {
  const money = (/** @type {number} */ amount_minor) => formatMoney({ amount_minor, currency: sale.currency });
  // Chosen here, so that pressing again after a lost answer asks for nothing more.
  const refund_id = `rfd_${randomText(16)}`;
  const invoice = invoiceField(sale);
  const amount = h("input", { class: "field__input", id: "give-amount", inputmode: "decimal", autocomplete: "off", "aria-describedby": "give-amount-error" });
  const wrong = h("p", { class: "field__error", id: "give-amount-error", hidden: true }, t.badAmount);
  const reason = h("select", { class: "field__input", id: "give-reason" }, Object.entries(t.reasons).map(([value, text]) => h("option", { value }, text)));
  const how = radios("give-how", t.how, [["some", t.some], ["all", sale.purpose === "topup" ? t.allCredits : t.all]]);
  const access = accessField(sale);
  const problem = h("div", { role: "alert" });
  const press = h("button", { class: "button button--primary", type: "submit" }, h("span", null, t.go));
  const amountField = field("give-amount", `${t.amount} (${sale.currency.toUpperCase()})`, amount, wrong);
  const allEnds = h("p", { class: "small muted", hidden: true }, t.allEnds);
  how.element.addEventListener("change", () => {
    amountField.hidden = how.value() === "all";
    if (!access || invoice) return;
    access.element.hidden = amountField.hidden;
    allEnds.hidden = !amountField.hidden;
  });

  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const amount_minor = how.value() === "all" ? null : parseAmount(amount.value, exponent(sale.currency));
    wrong.hidden = how.value() === "all" || Boolean(amount_minor);
    if (!wrong.hidden) { amount.focus(); return; }
    setBusy(press, true);
    replace(problem);
    try {
      const asked = await ask({
        refund_id, reason: reason.value, ...(amount_minor === null ? { part: "all" } : { amount_minor }),
        ...(invoice ? { invoice_id: invoice.value } : {}), ...(access && !access.element.hidden ? ACCESS[access.value()] : {}),
      });
      toast(asked.amount_minor ? t.done(formatMoney({ amount_minor: asked.amount_minor, currency: asked.currency })) : t.doneLater);
      done();
    } catch (error) {
      replace(problem, banner("danger", { text: refusalText(error) }));
      setBusy(press, false);
    }
  };
  return h("form", { class: "stack", novalidate: true, id: "give-back", on: { submit } },
    h("p", null, t.of(sale.name, what)),
    h("dl", { class: "facts" }, h("div", null, h("dt", null, t.paid), h("dd", null, money(sale.paid_minor ?? 0))),
      sale.refunded_minor + sale.lost_minor > 0 && h("div", null, h("dt", null, t.back), h("dd", null, money(sale.refunded_minor + sale.lost_minor)))),
    invoice && field("give-invoice", t.invoice, invoice), how.element, amountField, field("give-reason", t.why, reason), access?.element, allEnds, problem, h("div", null, press));
}

/** What each answer about the access asks for. @type {Record<string, Record<string, boolean>>} */
const ACCESS = { keep: {}, cancel: { cancel: true }, end: { end_access: true } };

/** Credits open nothing by themselves. @param {RoomSale & {purpose?: string}} sale */
function accessField({ purpose, invoices }) {
  if (purpose === "topup") return null;
  return radios("give-access", t.access, invoices
    ? [["keep", t.keepsSubscription], ["cancel", t.cancels], ["end", t.endsSubscription]]
    : [["keep", t.keeps], ["end", t.ends]]);
}

/** @param {RoomSale} sale */
function invoiceField({ invoices }) {
  if (!invoices?.length) return null;
  return h("select", { class: "field__input", id: "give-invoice" }, invoices.map(({ invoice_id, amount_minor, refunded_minor, currency, created_at }) =>
    h("option", { value: invoice_id }, t.payment(formatShortDateTime(created_at), formatMoney({ amount_minor, currency }), refunded_minor > 0 ? formatMoney({ amount_minor: refunded_minor, currency }) : null))));
}

/** @param {string} id @param {string} label @param {HTMLElement} input @param {HTMLElement} [error] */
const field = (id, label, input, error) => h("div", { class: "field" }, h("label", { class: "field__label", for: id }, label), input, error);

/** @param {string} name @param {string} legend @param {[string, string][]} options value and text; the first is chosen */
function radios(name, legend, options) {
  const element = h("fieldset", { class: "stack stack--tight" }, h("legend", { class: "field__label" }, legend),
    options.map(([value, text], n) => h("label", { class: "check" }, h("input", { type: "radio", name, value, checked: n === 0 }), h("span", null, text))));
  return { element, value: () => /** @type {HTMLInputElement} */ (element.querySelector("input:checked")).value };
}
