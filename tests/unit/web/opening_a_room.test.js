// What the form for a new room makes of what was typed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { readRoomForm } from "../../../web/js/roomform.js";

const EUR = { code: "eur", exponent: 2, step: 1, minimum_minor: 50 };
const KWD = { code: "kwd", exponent: 3, step: 10, minimum_minor: 350 };
const FORM = {
  title: " Italian ", description: "We talk.", host_name: "Ana", kind: "entrance", price: "5", minutes: "30", presets: ["15", "30"], other: "",
  window: "15", free: "", interval: "month", trial: "", privacy: "confidential", capacity: "", terms_url: "",
};
const read = (changes, rule = EUR) => readRoomForm({ ...FORM, ...changes }, rule);

test("a complete form is a room, with nothing more than was said", () => {
  assert.deepEqual(read({}), {
    room: { title: "Italian", description: "We talk.", host_name: "Ana", tariff: { kind: "entrance", price_minor: 500, currency: "eur", seconds: 1800 }, privacy: "confidential" },
    tariff: { kind: "entrance", price_minor: 500, currency: "eur", seconds: 1800 }, missing: [], problems: {},
  });
});

test("each missing part is named, and there is no room until all are there", () => {
  for (const name of ["title", "description", "host_name", "price"]) {
    const { room, missing } = read({ [name]: "  " });
    assert.equal(room, null);
    assert.deepEqual(missing, [name]);
  }
});

test("pay once is an entrance without a limit", () => {
  assert.equal(read({ kind: "unlimited", minutes: "" }).tariff.seconds, null);
});

test("lengths by the minute are sorted, and the same one counts once", () => {
  assert.deepEqual(read({ kind: "per_minute", price: "0.50", presets: ["60", "15"], other: "15" }).tariff,
    { kind: "per_minute", rate_minor_per_min: 50, currency: "eur", presets_s: [900, 3600] });
});

test("a typed length counts only as whole minutes of one day", () => {
  for (const other of ["0", "1441", "1.5", "x"]) assert.ok(read({ minutes: "other", other }).problems.lengths, other);
  assert.equal(read({ minutes: "other", other: "45" }).tariff.seconds, 2700);
  assert.deepEqual(read({ minutes: "other", other: "" }).missing, ["lengths"]);
});

test("a price below the smallest card payment is refused, with the smallest", () => {
  assert.match(read({ price: "0.49" }).problems.price, /0\.50/);
  assert.equal(read({ price: "0.50" }).problems.price, undefined);
});

test("a rate may be below it, as long as the shortest length is not", () => {
  const rate = { kind: "per_minute", price: "0.01" };
  assert.match(read({ ...rate, presets: ["30", "60"] }).problems.price, /30 minutes/);
  assert.ok(read({ ...rate, presets: ["60"] }).room);
});

test("a currency's step is kept", () => {
  assert.ok(read({ price: "5.125" }, KWD).problems.price);
  assert.equal(read({ price: "5.12" }, KWD).tariff.price_minor, 5120);
});

test("more than a card payment can be is refused", () => {
  assert.ok(read({ price: "1000000" }).problems.price);
});

test("seats and terms are checked only when given", () => {
  assert.equal(read({ capacity: "1" }).room.capacity, 1);
  assert.ok(read({ capacity: "12" }).problems.capacity);
  assert.equal(read({ capacity: "12", privacy: "conference" }).room.capacity, 12);
  assert.ok(read({ terms_url: "javascript:alert(1)" }).problems.terms_url);
  assert.equal(read({ terms_url: "https://example.org/terms" }).room.terms_url, "https://example.org/terms");
});

test("pay for use asks for a rate, and holds fifteen minutes unless told otherwise", () => {
  assert.deepEqual(read({ kind: "metered", price: "0.50", window: "" }).tariff, { kind: "metered", rate_minor_per_min: 50, currency: "eur", window_s: 900 });
  assert.equal(read({ kind: "metered", price: "0.50", window: "30" }).tariff.window_s, 1800);
});

test("a hold that no card would take is refused", () => {
  const { room, problems } = read({ kind: "metered", price: "0.05", window: "5" });
  assert.equal(room, null);
  assert.match(problems.price, /0\.50/);
});

test("credits, subscriptions and free rooms say what they need and no more", () => {
  assert.deepEqual(read({ kind: "wallet", price: "0.20" }).tariff, { kind: "wallet", rate_minor_per_min: 20, currency: "eur" });
  assert.deepEqual(read({ kind: "subscription", price: "9", interval: "year", trial: "7" }).tariff,
    { kind: "subscription", price_minor: 900, currency: "eur", interval: "year", trial_days: 7 });
  assert.deepEqual(read({ kind: "free", price: "" }).room.tariff, { kind: "free", currency: "eur", seconds: 1800 });
});

test("a subscription's free days are whole and not too many", () => {
  for (const trial of ["91", "x", "1.5"]) assert.ok(read({ kind: "subscription", price: "9", trial }).problems.lengths, trial);
});

test("free minutes come before time that is bought, and nowhere else", () => {
  assert.equal(read({ free: "5" }).tariff.free_seconds, 300);
  assert.equal(read({ kind: "per_minute", price: "0.50", free: " 10 " }).tariff.free_seconds, 600);
  for (const kind of ["unlimited", "metered", "wallet", "subscription", "free"]) assert.ok(!("free_seconds" in read({ kind, free: "5" }).tariff), kind);
  for (const free of ["", "0"]) assert.ok(!("free_seconds" in read({ free }).tariff));
  for (const free of ["61", "1.5", "x"]) {
    assert.ok(read({ free }).problems.free_minutes, free);
    assert.deepEqual([read({ free }).room, read({ free }).missing], [null, ["free_minutes"]]);
  }
});
