// What people read and type: amounts in each currency's own digits, lengths, countdowns.

import assert from "node:assert/strict";
import { test } from "node:test";

import { amountText, exponent, formatClock, formatLength, formatMoney, formatUsed, initial, parseAmount, wholeParts } from "../../../web/js/format.js";

const plain = (text) => text.replace(/\u00a0|\u202f/g, " ");

test("an amount has as many digits as Stripe counts, whatever the locale would do", () => {
  assert.equal(plain(formatMoney({ amount_minor: 500, currency: "eur" }, "en")), "€5.00");
  assert.equal(plain(formatMoney({ amount_minor: 500, currency: "jpy" }, "en")), "¥500");
  assert.equal(plain(formatMoney({ amount_minor: 5120, currency: "kwd" }, "en")), "KWD 5.120");
  // The forint has no minor unit in daily life, but two digits at Stripe.
  assert.equal(plain(formatMoney({ amount_minor: 17500, currency: "huf" }, "en")), "HUF 175.00");
});

test("an amount is written in the visitor's locale", () => {
  assert.equal(plain(formatMoney({ amount_minor: 123456, currency: "eur" }, "de")), "1.234,56 €");
});

test("a price may be typed with point or comma", () => {
  assert.equal(parseAmount("5", 2), 500);
  assert.equal(parseAmount(" 5.5 ", 2), 550);
  assert.equal(parseAmount("5,00", 2), 500);
  assert.equal(parseAmount("1 200", 0), 1200);
  assert.equal(parseAmount("5.120", 3), 5120);
});

test("what could mean two prices is refused", () => {
  for (const text of ["1,000", "1.000", "1,000.00", "5.005", "", "-5", "5 €", "1e3", "٥"]) assert.equal(parseAmount(text, 2), null, text);
  assert.equal(parseAmount("5.5", 0), null);
});

test("what is written as typed reads back as the same amount", () => {
  for (const digits of [0, 2, 3]) {
    for (const minor of [1, 50, 500, 12_340, 99_999_999]) assert.equal(parseAmount(amountText(minor, digits), digits), minor);
  }
});

test("the exponent is two unless Stripe says otherwise", () => {
  assert.deepEqual(["eur", "jpy", "kwd", "isk"].map(exponent), [2, 0, 3, 2]);
});

test("a length names hours, minutes and seconds that are there", () => {
  assert.equal(formatLength(1800, "en"), "30 minutes");
  assert.equal(formatLength(60, "en"), "1 minute");
  assert.equal(formatLength(5400, "en"), "1 hour 30 minutes");
  assert.equal(formatLength(0, "en"), "0 seconds");
});

test("a countdown reads zero only at the end", () => {
  assert.equal(formatClock(1), "0:01");
  assert.equal(formatClock(0), "0:00");
  assert.equal(formatClock(-5), "0:00");
  assert.equal(formatClock(3_600_000 + 64_000), "1:01:04");
});

test("used time is rounded down, in the payer's favour", () => {
  assert.equal(formatUsed(59_999), "0:59");
});

test("what was used and what is left make what was bought, and stays make what was used", () => {
  const bought_ms = 1_800_000;
  for (const used_ms of [1, 999, 2_600, 61_400]) {
    const seconds = (text) => text.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
    assert.equal(seconds(formatUsed(used_ms)) + seconds(formatClock(bought_ms - used_ms)), 1800);
  }
  assert.deepEqual(wholeParts([2_600, 3_600, 900]), [2_000, 4_000, 1_000]);
});

test("an initial is one whole character", () => {
  assert.equal(initial(" ana "), "A");
  assert.equal(initial("😀 b"), "😀");
  assert.equal(initial(""), "?");
});
