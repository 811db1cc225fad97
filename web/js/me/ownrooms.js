/** The rooms that were opened while signed in: the way into the studio, and what was sold there to whom. */

import { badge, banner, button, copyBox, h, linkButton, openDialog, replace, setBusy, toast } from "../dom.js";
import { askHostRefund, getOwnRooms, getRoomSales, rotateHostKey } from "../api.js";
import { forgetHostKey } from "../hostkeys.js";
import { formatDateTime, formatMoney } from "../format.js";
import { giveBack, mayGoBack } from "../giveback.js";
import { icon } from "../icons.js";
import { en, errorText } from "../strings/en.js";
import { giveback } from "../strings/giveback.en.js";
import { people } from "../strings/people.en.js";
import { pagedList } from "./pages.js";

/** @typedef {import("../api.js").OwnRoom} OwnRoom */
/** @typedef {import("../api.js").RoomSale} RoomSale */

const t = people.me;

/** @type {import("../me.js").Section} */
export async function ownRooms() {
  const list = await pagedList(async (before) => {
    const { rooms, next } = await getOwnRooms(before);
    return { rows: rooms, next };
  }, room);
  return h("section", { class: "card stack", id: "my-rooms", "aria-labelledby": "rooms-title" },
    h("h2", { id: "rooms-title" }, t.rooms), list ?? h("p", { class: "muted" }, t.noRooms),
    h("div", null, linkButton(t.openRoom, "/", { kind: list ? "small" : "primary", icon: "plus" })));
}

/** @param {OwnRoom} one */
function room(one) {
  const { gross, refunded, payers } = one.earnings;
  const notes = [formatDateTime(one.created_at), t.payers(payers), refunded.amount_minor > 0 && t.refunded(formatMoney(refunded))].filter(Boolean).join(" · ");
  const studio = one.state !== "closed" && linkButton(t.studio, `/host/${encodeURIComponent(one.id)}`, { kind: "small primary" });
  const row = h("div", { class: "history__row", dataset: { roomId: one.id } },
    h("div", { class: "history__what" }, h("p", { class: "history__title" }, one.title), h("p", { class: "small muted" }, notes)),
    h("p", { class: "history__amount numbers" }, t.gross(formatMoney(gross)), one.live ? badge("live", t.live) : one.state === "closed" && badge("", t.closed)),
    h("div", { class: "row" }, studio, linkButton(t.publicPage, `/r/${encodeURIComponent(one.slug)}`, { kind: "small" }), one.state !== "closed" && newLink(one)));
  return h("div", null, row, sales(one));
}

/** For who lost the host link, or showed it to somebody. @param {OwnRoom} one */
function newLink(one) {
  const ask = button(t.newLink, { kind: "small quiet", icon: "key", "aria-label": `${t.newLink}: ${one.title}`, onClick: async () => {
    const sure = await openDialog({ title: t.newLinkTitle, body: h("p", null, t.newLinkText), closeLabel: en.close,
      actions: [{ text: en.cancel, value: false, kind: "quiet" }, { text: t.newLinkSure, value: true, kind: "danger" }] }).closed;
    if (!sure) return;
    setBusy(ask, true);
    try {
      const { host_url } = await rotateHostKey(one.id, null);
      forgetHostKey(one.id);
      openDialog({ title: t.newLinkMade, closeLabel: en.close,
        body: [h("p", null, t.newLinkMadeText), copyBox(host_url, { label: t.newLinkLabel, copy: en.copy, copied: en.copied })] });
    } catch (error) {
      toast(errorText(error), { kind: "danger" });
    }
    setBusy(ask, false);
  } });
  return ask;
}

/** Folded, and fetched when it is opened: anew each time. @param {OwnRoom} one */
function sales(one) {
  const place = h("div", { class: "sales" });
  const load = async () => {
    replace(place, h("span", { class: "spinner" }));
    try {
      const list = await pagedList(async (before) => {
        const page = await getRoomSales(one.id, before);
        return { rows: page.sales, next: page.next };
      }, (one_sale) => sale(one_sale, one, load));
      replace(place, list ?? h("p", { class: "muted" }, t.noSales));
    } catch (error) {
      replace(place, banner("danger", { text: errorText(error) }));
    }
  };
  const fold = h("details", { class: "fold" }, h("summary", { "aria-label": `${t.sales}: ${one.title}` }, icon("receipt"), h("span", null, t.sales)), place);
  fold.addEventListener("toggle", () => { if (fold.open) load(); });
  return fold;
}

/** @param {RoomSale} one @param {OwnRoom} room @param {() => Promise<void>} load */
function sale(one, room, load) {
  const money = (/** @type {number} */ amount_minor) => formatMoney({ amount_minor, currency: one.currency });
  const notes = [one.paid_at && formatDateTime(one.paid_at), one.refunded_minor > 0 && t.refunded(money(one.refunded_minor)), one.lost_minor > 0 && t.lostByPayer(money(one.lost_minor))].filter(Boolean).join(" · ");
  return h("div", { class: "history__row", dataset: { orderId: one.order_id } },
    h("div", { class: "history__what" }, h("p", { class: "history__title" }, one.name), h("p", { class: "small muted" }, notes)),
    h("p", { class: "history__amount numbers" }, one.paid_minor === null ? t.held : money(one.paid_minor), one.state !== "paid" && badge("", en.receipt.states[one.state] ?? one.state)),
    mayGoBack(one) && button(giveback.open, { kind: "small", "aria-label": `${giveback.open}: ${one.name}`, onClick: async () => {
      if (await giveBack(one, room.title, (body) => askHostRefund(room.id, { ...body, order_id: one.order_id }))) await load();
    } }));
}
