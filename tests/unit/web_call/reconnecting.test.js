// The rules of signaling/PROTOCOL.md for coming in, coming back and staying away, on an invented clock.
// Run: node --test tests/unit/web_call/

import assert from "node:assert/strict";
import { test } from "node:test";

import { Connection } from "../../../web/js/protocol.js";
import { Clock, joined, network, settle } from "./sockets.js";

/** A connection with everything around it; `tokens` are the answers of the token call, the last one for ever. */
function setup(tokens = [{ token: "t", ws_url: "wss://x/ws" }]) {
  const clock = new Clock();
  const { opened, Socket } = network();
  const seen = { ended: [], interrupted: [], states: [], tokens: 0 };
  const getToken = async () => {
    const answer = tokens[Math.min(seen.tokens++, tokens.length - 1)];
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const connection = new Connection({ getToken, WebSocket: Socket, timers: clock, now: clock.now });
  connection.addEventListener("ended", (event) => seen.ended.push(event.detail));
  connection.addEventListener("interrupted", (event) => seen.interrupted.push(event.detail.code));
  connection.addEventListener("state", (event) => seen.states.push(event.detail.state));
  return { clock, connection, opened, seen };
}

/** The same, already in. */
async function inside(tokens) {
  const all = setup(tokens);
  all.connection.start();
  await settle();
  all.opened[0].accept().say(joined());
  return all;
}

function refusal(status, code) {
  return Object.assign(new Error(code), { status, code });
}

const ended = (code) => ({ type: "ended", code, used_ms: 1000, charged: null });

test("the first message is join with a fresh token", async () => {
  const { connection, opened, seen } = setup();
  connection.start();
  await settle();
  assert.equal(opened[0].url, "wss://x/ws");
  opened[0].accept();
  assert.deepEqual(opened[0].sent, [{ type: "join", token: "t" }]);
  opened[0].say(joined());
  assert.deepEqual(seen.states, ["token", "connecting", "joining", "connected"]);
});

test("nothing is sent before joined", async () => {
  const { connection, opened } = setup();
  connection.start();
  await settle();
  opened[0].accept();
  assert.equal(connection.send({ type: "chat", text: "early" }), false);
  assert.equal(opened[0].sent.length, 1);
});

test("a broken connection resumes at once, with the same key and no new token", async () => {
  const { clock, opened, seen } = await inside();
  opened[0].breakOff();
  await clock.pass(0);
  opened[1].accept();
  assert.deepEqual(opened[1].sent, [{ type: "resume", key: "key_1" }]);
  assert.equal(seen.tokens, 1);
  assert.deepEqual(seen.ended, []);
});

test("attempts follow each other after 0, 1, 2, 4, 5 and 5 seconds", async () => {
  const { clock, opened } = await inside();
  opened[0].breakOff();
  const at = [];
  for (let i = 1; i <= 6; i++) {
    while (opened.length <= i) await clock.pass(100);
    at.push(clock.nowMs);
    opened[i].breakOff();
  }
  const waits = at.map((ms, i) => Math.round((ms - (at[i - 1] ?? 0)) / 1000));
  assert.deepEqual(waits, [0, 1, 2, 4, 5, 5]);
});

test("after 30 seconds a new token is fetched instead of resuming", async () => {
  const { clock, opened, seen } = await inside();
  opened[0].breakOff();
  for (let i = 1; seen.tokens === 1; i++) {
    while (opened.length <= i && seen.tokens === 1) await clock.pass(100);
    if (opened[i]) opened[i].breakOff();
  }
  assert.ok(clock.nowMs >= 30_000 && clock.nowMs < 40_000, String(clock.nowMs));
  opened.at(-1).accept();
  assert.equal(opened.at(-1).last.type, "join");
});

test("resume_unknown brings a new token and a join", async () => {
  const { clock, opened, seen } = await inside();
  opened[0].breakOff();
  await clock.pass(0);
  opened[1].accept().say(ended("resume_unknown"));
  await clock.pass(1_000);
  opened[2].accept();
  assert.equal(opened[2].last.type, "join");
  assert.equal(seen.tokens, 2);
});

test("a replaced page never comes back by itself", async () => {
  const { clock, opened, seen } = await inside();
  opened[0].say(ended("replaced"));
  opened[0].breakOff();
  await clock.pass(600_000);
  assert.equal(opened.length, 1);
  assert.deepEqual(seen.ended.map(({ code }) => code), ["replaced"]);
  assert.equal(clock.waiting, 0, "no timer is left");
});

for (const code of ["used_up", "kicked", "revoked", "refunded", "disputed", "host_ended", "not_paid", "pass_used_up", "room_full", "a_code_of_next_year"]) {
  test(`${code} ends for good`, async () => {
    const { clock, opened, seen } = await inside();
    opened[0].say(ended(code));
    await clock.pass(600_000);
    assert.equal(opened.length, 1);
    assert.equal(seen.ended[0].used_ms, 1000);
  });
}

for (const code of ["shutdown", "run_lost", "connection_lost"]) {
  test(`${code} joins again with a new token`, async () => {
    const { clock, opened, seen } = await inside();
    opened[0].say(ended(code));
    await clock.pass(1_000);
    opened[1].accept();
    assert.equal(opened[1].last.type, "join");
    assert.deepEqual(seen.interrupted, [code]);
  });
}

test("a dropped slow client resumes what it had", async () => {
  const { clock, opened } = await inside();
  opened[0].say(ended("slow_client"));
  await clock.pass(1_000);
  opened[1].accept();
  assert.equal(opened[1].last.type, "resume");
});

test("media_failed is tried once more, then it is the end", async () => {
  const { clock, opened, seen } = await inside();
  opened[0].say(ended("media_failed"));
  await clock.pass(1_000);
  opened[1].accept().say(joined());
  opened[1].say(ended("media_failed"));
  await clock.pass(600_000);
  assert.equal(opened.length, 2);
  assert.deepEqual(seen.ended.map(({ code }) => code), ["media_failed"]);
});

test("a good minute gives media_failed its second attempt back", async () => {
  const { clock, opened, seen } = await inside();
  opened[0].say(ended("media_failed"));
  await clock.pass(1_000);
  opened[1].accept().say(joined());
  for (let i = 0; i < 7; i++) { await clock.pass(10_000); opened[1].say({ type: "pong", n: 1 }); }
  opened[1].say(ended("media_failed"));
  await clock.pass(5_000);
  assert.equal(opened.length, 3);
  assert.deepEqual(seen.ended, []);
});

test("a server that refuses every fresh token is not asked for ever", async () => {
  const { clock, connection, opened, seen } = setup();
  connection.start();
  for (let i = 0; i < 10; i++) {
    await clock.pass(10_000);
    if (opened[i]?.readyState === 0) opened[i].accept().say(ended("bad_token"));
  }
  assert.equal(opened.length, 3);
  assert.deepEqual(seen.ended.map(({ code }) => code), ["bad_token"]);
});

test("rate_limited waits before it asks again", async () => {
  const { clock, connection, opened } = setup();
  connection.start();
  await settle();
  opened[0].accept().say(ended("rate_limited"));
  await clock.pass(4_900);
  assert.equal(opened.length, 1);
  await clock.pass(200);
  assert.equal(opened.length, 2);
});

test("a refused token request ends with the API's code", async () => {
  const { clock, connection, opened, seen } = setup([refusal(410, "pass_used_up")]);
  connection.start();
  await clock.pass(60_000);
  assert.equal(opened.length, 0);
  assert.deepEqual(seen.ended.map(({ code }) => code), ["pass_used_up"]);
});

test("a server out of reach is asked again until it answers", async () => {
  const { clock, connection, opened, seen } = setup([refusal(0, "offline"), refusal(503, "offline"), { token: "t", ws_url: "wss://x/ws" }]);
  connection.start();
  await clock.pass(10_000);
  assert.equal(seen.tokens, 3);
  assert.equal(opened.length, 1);
});

test("a silent socket is left behind and the stay resumed", async () => {
  const { clock, opened, seen } = await inside();
  await clock.pass(10_000);
  assert.equal(opened[0].last.type, "ping");
  await clock.pass(10_000);
  assert.equal(opened[0].readyState, 3);
  opened[1].accept();
  assert.equal(opened[1].last.type, "resume");
  opened[0].say({ type: "chat", text: "from the past" });
  assert.deepEqual(seen.ended, []);
});

test("pongs keep a quiet call alive", async () => {
  const { clock, opened } = await inside();
  for (let i = 0; i < 12; i++) {
    await clock.pass(10_000);
    opened[0].say({ type: "pong", n: i });
  }
  assert.equal(opened.length, 1);
});

test("leaving waits for the server's account of it", async () => {
  const { connection, opened, seen } = await inside();
  connection.leave();
  assert.equal(opened[0].last.type, "leave");
  assert.deepEqual(seen.ended, []);
  opened[0].say(ended("left"));
  assert.deepEqual(seen.ended.map(({ code, used_ms }) => [code, used_ms]), [["left", 1000]]);
});

test("leaving ends also when the server says nothing, and nothing reconnects", async () => {
  const { clock, connection, opened, seen } = await inside();
  connection.leave();
  await clock.pass(60_000);
  assert.deepEqual(seen.ended.map(({ code }) => code), ["left"]);
  assert.equal(opened.length, 1);
});

test("leaving while the token is on its way opens no socket", async () => {
  const { clock, connection, opened, seen } = setup();
  connection.start();
  connection.leave();
  await clock.pass(60_000);
  assert.equal(opened.length, 0);
  assert.deepEqual(seen.ended.map(({ code }) => code), ["left"]);
});

test("after an ending one may start again", async () => {
  const { clock, connection, opened } = await inside();
  opened[0].say(ended("replaced"));
  connection.start();
  await clock.pass(0);
  opened[1].accept().say(joined());
  assert.equal(opened[1].sent[0].type, "join");
  assert.equal(connection.state, "connected");
});

test("the network coming back does not wait for the timer", async () => {
  const { clock, connection, opened } = await inside();
  opened[0].breakOff();
  await clock.pass(0);
  opened[1].breakOff();
  connection.retryNow();
  await settle();
  assert.equal(opened.length, 3);
});

test("what is no message is ignored, what is unknown is passed on", async () => {
  const { connection, opened } = await inside();
  const heard = [];
  connection.addEventListener("novelty", (event) => heard.push(event.detail.value));
  for (const noise of ["", "{", "null", "[]", "3", '{"type": 4}']) opened[0].say(noise);
  opened[0].say({ type: "novelty", value: 7 });
  assert.deepEqual(heard, [7]);
  assert.equal(connection.state, "connected");
});
