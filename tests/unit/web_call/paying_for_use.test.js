// What a call costs so far, and whether a further hold follows.

import assert from "node:assert/strict";
import { test } from "node:test";

import { costOf, goesFurther, useFacts } from "../../../web/js/usepanel.js";
import { usedMs } from "../../../web/js/protocol.js";

const TARIFF = { kind: "metered", rate_minor_per_min: 100, currency: "eur", window_s: 900 };
const held = (number) => ({ number, seconds: 900, held_minor: 1500, charged_minor: null, state: "held", failure: null });
const USE = { used_ms: 0, held_minor: 1500, charged_minor: null, released_minor: null, settled: false, goes_on: true, can_go_on: true, windows: [held(1)] };

test("the price so far is rounded down, as the server rounds it", () => {
  assert.deepEqual(costOf(TARIFF, 432_000), { amount_minor: 720, currency: "eur" });
  assert.equal(costOf(TARIFF, 59_999).amount_minor, 99);
});

test("a further hold follows for who agreed and whose card was kept", () => {
  assert.equal(goesFurther(USE, TARIFF), true);
  assert.equal(goesFurther({ ...USE, goes_on: false }, TARIFF), false);
  assert.equal(goesFurther({ ...USE, can_go_on: false }, TARIFF), false);
  assert.equal(goesFurther(null, TARIFF), false);
});

test("none follows a declined one, nor the longest call", () => {
  assert.equal(goesFurther({ ...USE, windows: [held(1), { ...held(2), state: "failed" }] }, TARIFF), false);
  assert.equal(goesFurther(USE, { ...TARIFF, max_seconds: 900 }), false);
  assert.equal(goesFurther(USE, { ...TARIFF, max_seconds: 1200 }), true);
});

test("the time used goes on from what the server told", () => {
  assert.equal(usedMs({ state: "counting", used_ms: 60_000, remaining_ms: 840_000 }, 830_000), 70_000);
  assert.equal(usedMs({ state: "paused", used_ms: 60_000, remaining_ms: 840_000 }, 840_000), 60_000);
});

test("the end says what became of the hold", () => {
  const facts = useFacts({ ...USE, charged_minor: 720, released_minor: 780 }, "eur");
  assert.deepEqual(facts.map(([, money]) => money.replace(/[^\d.,]/g, "")), ["7.20", "15.00", "7.80"]);
});
