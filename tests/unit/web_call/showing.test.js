// What the call page computes before it draws: time left, how good a line is.

import assert from "node:assert/strict";
import { test } from "node:test";

import { remainingMs } from "../../../web/js/protocol.js";
import { qualityOf } from "../../../web/js/peers.js";

const COUNTING = { state: "counting", remaining_ms: 90_000, ends_at: "2026-05-03T12:01:30Z", server_time: "2026-05-03T12:00:00Z" };

test("the countdown follows the server's two times, not this machine's clock", () => {
  assert.equal(remainingMs(COUNTING, 1_000, 1_000), 90_000);
  assert.equal(remainingMs(COUNTING, 1_000, 31_000), 60_000);
});

test("the countdown never goes below zero", () => {
  assert.equal(remainingMs(COUNTING, 0, 200_000), 0);
});

test("a clock that stands still shows the same time for ever", () => {
  const paused = { state: "paused", reason: "host_away", remaining_ms: 42_000, ends_at: null };
  assert.equal(remainingMs(paused, 0, 3_600_000), 42_000);
});

test("an unlimited pass has no time left to show", () => {
  assert.equal(remainingMs({ state: "counting", remaining_ms: null }, 0, 1), null);
});

test("a line is judged by what it loses and how long it takes", () => {
  assert.equal(qualityOf(0, 0.05), "good");
  assert.equal(qualityOf(0.05, 0.05), "fair");
  assert.equal(qualityOf(0, 0.4), "fair");
  assert.equal(qualityOf(0.2, 0.05), "poor");
  assert.equal(qualityOf(0, 0.9), "poor");
});
