/** The rooms that were opened while signed in, and what was sold there. */

import { badge, h, linkButton } from "../dom.js";
import { getOwnRooms } from "../api.js";
import { formatDateTime, formatMoney } from "../format.js";
import { people } from "../strings/people.en.js";
import { pagedList } from "./pages.js";

/** @typedef {import("../api.js").OwnRoom} OwnRoom */

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
  return h("div", { class: "history__row", dataset: { roomId: one.id } },
    h("div", { class: "history__what" }, h("p", { class: "history__title" }, one.title), h("p", { class: "small muted" }, notes)),
    h("p", { class: "history__amount numbers" }, t.gross(formatMoney(gross)), one.live ? badge("live", t.live) : one.state === "closed" && badge("", t.closed)),
    h("div", { class: "row" }, linkButton(t.publicPage, `/r/${encodeURIComponent(one.slug)}`, { kind: "small" })));
}
