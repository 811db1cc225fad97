// How good the line is called, and how the server learns what is shown: both seldom, and in time.

import assert from "node:assert/strict";
import { test } from "node:test";

import { LineWatch } from "../../../web/js/line.js";
import { limitOf } from "../../../web/js/peers.js";
import { Views } from "../../../web/js/views.js";
import { Clock } from "./sockets.js";

const FINE = { told: null, incoming: "good", outgoing: "good", limited: "" };

/** One look a second; `word` is what is shown then. */
function watch() {
  let nowMs = 0;
  const line = new LineWatch({ now: () => nowMs });
  return (seconds, look = {}) => {
    let shown = null;
    for (let i = 0; i < seconds; i++) {
      nowMs += 1_000;
      shown = line.look({ ...FINE, ...look });
    }
    return shown && `${shown.state} ${shown.side}`;
  };
}

test("nothing is said before anything is known", () => {
  assert.equal(watch()(3, { incoming: null, outgoing: null }), null);
  assert.equal(watch()(1), "good in");
});

test("that the picture stops is shown at once, that it is smaller when it stays so", () => {
  const after = watch();
  after(5);
  assert.equal(after(2, { told: "reduced" }), "good in");
  assert.equal(after(1, { told: "reduced" }), "reduced in");
  assert.equal(after(1, { told: "audio_only" }), "audio_only in");
});

test("a better line is believed after a while, and a relapse starts the while anew", () => {
  const after = watch();
  after(1, { told: "poor" });
  assert.equal(after(4, { told: "good" }), "poor in");
  assert.equal(after(1, { told: "poor" }), "poor in");
  assert.equal(after(5, { told: "good" }), "poor in");
  assert.equal(after(1, { told: "good" }), "good in");
});

test("sound only is not said any longer once the picture is back, and good only after a while", () => {
  const after = watch();
  after(1, { told: "audio_only" });
  assert.equal(after(1, { told: "good" }), "reduced in");
  assert.equal(after(4, { told: "good" }), "reduced in");
  assert.equal(after(2, { told: "good" }), "good in");
  after(1, { told: "audio_only" });
  assert.equal(after(1, { told: "poor" }), "poor in");
});

test("two reasons that are as bad as each other do not take turns", () => {
  const after = watch();
  after(3, { told: "reduced" });
  assert.equal(after(15, { told: "reduced", limited: "cpu" }), "reduced in");
  assert.equal(after(3, { told: "good", limited: "cpu" }), "reduced in");
  assert.equal(after(3, { told: "good", limited: "cpu" }), "reduced device");
});

test("one lost second alarms nobody, several do", () => {
  const after = watch();
  after(5);
  assert.equal(after(1, { incoming: "poor" }), "good in");
  after(3);
  assert.equal(after(4, { incoming: "poor" }), "poor in");
});

test("our own picture is called reduced only when it stays so: every call begins small", () => {
  const after = watch();
  assert.equal(after(14, { limited: "bandwidth" }), "good in");
  assert.equal(after(1, { limited: "bandwidth" }), "reduced out");
  assert.equal(watch()(15, { limited: "cpu" }), "reduced device");
});

test("a picture is reduced when much of it is missing in the largest size that is sent", () => {
  const source = { type: "media-source", kind: "video", id: "s", width: 1280, height: 720 };
  const sent = (frameWidth, frameHeight, framesPerSecond, reason = "bandwidth") =>
    ({ type: "outbound-rtp", mediaSourceId: "s", frameWidth, frameHeight, framesPerSecond, qualityLimitationReason: reason });
  assert.equal(limitOf([source, sent(320, 180, 30), sent(640, 360, 30)]), "bandwidth");
  assert.equal(limitOf([source, sent(320, 180, 30), sent(1280, 720, 0)]), "bandwidth", "the largest has stopped");
  assert.equal(limitOf([source, sent(320, 180, 30), sent(960, 540, 30)]), "");
  assert.equal(limitOf([source, sent(320, 180, 30, "none")]), "", "small by our own choice");
  assert.equal(limitOf([source]), "", "nothing is sent");
});

test("the worst of all is shown", () => {
  assert.equal(watch()(8, { told: "reduced", outgoing: "poor", limited: "cpu" }), "poor out");
  assert.equal(watch()(8, { told: "audio_only", outgoing: "poor" }), "audio_only in");
});

/** `sent` are the views told, with their times. */
function views() {
  const clock = new Clock();
  const sent = [];
  const line = { open: true };
  const told = new Views({ timers: clock, send: (sizes) => line.open && sent.push([clock.nowMs, sizes]) > 0 });
  return { clock, line, sent, told };
}

test("a window that is dragged is told at most every 300 ms, and as it ends", async () => {
  const { clock, sent, told } = views();
  for (let width = 100; width <= 1_000; width += 10) {
    told.set({ 0: [width, width] });
    await clock.pass(10);
  }
  await clock.pass(1_000);
  assert.deepEqual(sent.at(-1)[1], { 0: [1_000, 1_000] });
  assert.ok(sent.length <= 4, `${sent.length} messages in 910 ms`);
  sent.slice(1).forEach(([atMs], i) => assert.ok(atMs - sent[i][0] >= 300));
});

test("a small change is not told, coming into sight is", async () => {
  const { clock, sent, told } = views();
  told.set({ 0: [640, 360] });
  await clock.pass(1_000);
  told.set({ 0: [650, 365] });
  await clock.pass(1_000);
  assert.equal(sent.length, 1);
  told.set({ 0: [0, 0] });
  await clock.pass(1_000);
  told.set({ 0: [640, 360], 1: [320, 180] });
  await clock.pass(1_000);
  assert.equal(sent.length, 3);
});

test("what changes and changes back in between is not told", async () => {
  const { clock, sent, told } = views();
  told.set({ 0: [640, 360] });
  await clock.pass(1_000);
  told.set({ 0: [0, 0] });
  told.set({ 0: [640, 360] });
  await clock.pass(1_000);
  assert.equal(sent.length, 1);
});

test("what could not be sent, and what a new stay does not know, is told again", async () => {
  const { clock, line, sent, told } = views();
  line.open = false;
  told.set({ 0: [640, 360] });
  await clock.pass(1_000);
  assert.equal(sent.length, 0);
  line.open = true;
  told.again();
  await clock.pass(1_000);
  told.again();
  await clock.pass(1_000);
  assert.equal(sent.length, 2);
});
