// Which panel and which notice the public card shows.

import assert from "node:assert/strict";
import { test } from "node:test";

import { cardView, isUnserved, isUnsettled, offerOf, opensRoom, pollDelay } from "../../../web/js/cardstate.js";

const CHECKOUT = { ui: "hosted", url: "https://example.org/" };
// room's state, order's state, its pass' state, has a checkout → panel, notice
const TABLE = [
  ["live", null, null, false, "form", null],
  ["away", null, null, false, "away", null],
  ["full", null, null, false, "full", null],
  ["locked", null, null, false, "locked", null],
  ["closed", null, null, false, "closed", null],
  ["unpriced", null, null, false, "unpriced", null],
  ["live", "open", null, true, "continue", null],
  ["live", "open", null, false, "pending", null],
  ["live", "payment_pending", null, false, "pending", null],
  ["live", "paid", null, false, "processing", null],
  ["away", "quarantined", null, false, "checking", null],
  ["live", "failed", null, false, "form", "failed"],
  ["away", "expired", null, false, "away", "expired"],
  ["live", "canceled", null, false, "form", "canceled"],
  ["away", "refunded", null, false, "away", "refunded"],
  ["live", "paid", "waiting", false, "paid", null],
  ["away", "paid", "active", false, "paid", null],
  ["full", "paid", "active", false, "paid", null],
  ["locked", "partly_refunded", "active", false, "paid", null],
  ["closed", "paid", "waiting", false, "closed", null],
  ["live", "paid", "used_up", false, "form", "used_up"],
  ["full", "paid", "revoked", false, "full", "revoked"],
  ["live", "refunded", "refunded", false, "form", "refunded"],
  ["live", "disputed", "disputed", false, "form", "disputed"],
  ["live", "a state of a later server", null, false, "form", null],
];

const orderOf = (state, pass, checkout) => (state === null ? null : { state, ...(pass ? { pass: { state: pass } } : {}), ...(checkout ? { checkout: CHECKOUT } : {}) });

for (const [room, state, pass, checkout, panel, notice] of TABLE) {
  test(`room ${room}, order ${state}, pass ${pass}: ${panel}${notice ? ` with ${notice}` : ""}`, () => {
    assert.deepEqual(cardView({ state: room }, orderOf(state, pass, checkout)), { panel, notice });
  });
}

test("only orders whose answer is to come are asked about again", () => {
  const asked = ["new", "open", "payment_pending", "paid", "quarantined"];
  const settled = ["expired", "canceled", "failed", "refunded", "partly_refunded", "disputed"];
  assert.ok(asked.every((state) => isUnsettled({ state })));
  assert.ok(!settled.some((state) => isUnsettled({ state })));
  assert.ok(!isUnsettled({ state: "paid", pass: { state: "waiting" } }));
  assert.ok(!isUnsettled(null));
});

test("only a waiting or active pass opens the room", () => {
  const opening = ["waiting", "active", "used_up", "refunded", "disputed", "revoked"].filter((state) => opensRoom({ state: "paid", pass: { state } }));
  assert.deepEqual(opening, ["waiting", "active"]);
  assert.ok(!opensRoom({ state: "paid" }));
});

test("questions get rarer, and never rarer than every ten seconds", () => {
  const delays = Array.from({ length: 20 }, (_, n) => pollDelay(n));
  assert.equal(delays[0], 1000);
  assert.ok(delays.every((delay, n) => n === 0 || delay >= delays[n - 1]));
  assert.equal(delays.at(-1), 10_000);
});

test("a payer decides about paid time whenever the host is away and some of it would go back", () => {
  const pass = (state, remaining_ms, used_ms) => ({ state: "paid", pass: { id: "pass_1", state, granted_ms: null, remaining_ms, used_ms } });
  const away = { state: "away", live: false };
  assert.equal(isUnserved(pass("waiting", 1_800_000, 0), away), true);
  assert.equal(isUnserved(pass("active", 600_000, 1_200_000), away), true);
  assert.equal(isUnserved(pass("waiting", null, 0), away), true);
  assert.equal(isUnserved(pass("active", null, 5_000), away), false, "nothing of a used unlimited pass goes back");
  assert.equal(isUnserved(pass("active", 0, 1_800_000), away), false);
  assert.equal(isUnserved(pass("revoked", 600_000, 0), away), false);
  assert.equal(isUnserved(pass("active", 600_000, 0), { state: "live", live: true }), false);
  assert.equal(isUnserved(pass("active", 600_000, 0), { state: "closed", live: false }), false);
  assert.equal(isUnserved(null, away), false);
});

test("another price or other terms need another form, another seat or host state does not", () => {
  const card = { tariff: { kind: "entrance", price_minor: 500 }, choices: [{ seconds: null, price: 500 }], terms_url: null, terms_version: "1", seats_left: 3, state: "live" };
  assert.equal(offerOf(card), offerOf({ ...card, seats_left: 2, state: "away" }));
  assert.notEqual(offerOf(card), offerOf({ ...card, tariff: { kind: "entrance", price_minor: 600 } }));
  assert.notEqual(offerOf(card), offerOf({ ...card, terms_version: "2" }));
});
