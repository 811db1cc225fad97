// The API's client: where secrets go, and what refusals become.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import * as api from "../../../web/js/api.js";

const realFetch = globalThis.fetch;
afterEach(() => { globalThis.fetch = realFetch; });

/** Answer the next calls so; returns them as they were asked. */
function answering(status, body) {
  const asked = [];
  globalThis.fetch = async (path, init) => {
    asked.push({ path, ...init });
    return new Response(typeof body === "string" ? body : JSON.stringify(body), { status });
  };
  return asked;
}

test("a secret travels in the Authorization header only", async () => {
  const asked = answering(200, {});
  await api.refreshOrder("ord_1", "s3cret");
  await api.createOrder("abc", { order_id: "ord_1", name: "Tom", accept_terms: true }, "s3cret");
  for (const { path, headers, body } of asked) {
    assert.equal(headers.get("Authorization"), "Bearer s3cret");
    assert.ok(!`${path}${body}`.includes("s3cret"));
  }
});

test("nothing is put into a path unescaped", async () => {
  const asked = answering(200, {});
  await api.getCard("../x?y#z");
  assert.equal(asked[0].path, "/api/rooms/..%2Fx%3Fy%23z");
});

test("a refusal carries the API's code, status and field", async () => {
  answering(422, { error: { code: "below_minimum", message: "too little", field: "tariff" } });
  await assert.rejects(api.createRoom({}, null), { name: "ApiError", code: "below_minimum", status: 422, field: "tariff", message: "too little" });
});

test("no answer, and a proxy's page instead of one, are told apart from refusals", async () => {
  globalThis.fetch = async () => { throw new TypeError("network"); };
  await assert.rejects(api.getConfig(), { code: "offline", status: 0 });
  answering(502, "<html>");
  await assert.rejects(api.getConfig(), { code: "offline", status: 502 });
  answering(200, "<html>");
  await assert.rejects(api.getConfig(), { code: "unreadable" });
});

/** As a browser whose session's token is `token`; refuses the first change with `bad_csrf` when `stale`. */
function signedIn({ stale = false, over = false } = {}) {
  const asked = [];
  globalThis.document = { cookie: "theme=dark; tollroom_signed_in=1" };
  let token = "t1";
  globalThis.fetch = async (path, init) => {
    asked.push({ path, ...init });
    if (path === "/api/me") return over ? refusal(401, "sign_in_required") : json({ name: "Ana", csrf_token: token });
    if (stale && init.headers.get("X-CSRF-Token") === "t1") { token = "t2"; return refusal(403, "bad_csrf"); }
    return json({});
  };
  api.forgetMe();
  return asked;
}
const json = (body, status = 200) => new Response(JSON.stringify(body), { status });
const refusal = (status, code) => json({ error: { code, message: code } }, status);
afterEach(() => { delete globalThis.document; api.forgetMe(); });

test("a visitor sends no cookie and is not asked about", async () => {
  const asked = answering(200, {});
  assert.equal(await api.whoAmI(), null);
  await api.createRoom({}, null);
  assert.deepEqual(asked.map(({ path, credentials }) => [path, credentials]), [["/api/rooms", "omit"]]);
});

test("a host's calls carry the room's key and no cookie, or without a key the session", async () => {
  const asked = signedIn();
  await api.hostToken("room_1", "hostkey");
  await api.hostToken("room_1", null);
  const told = asked.filter(({ path }) => path === "/api/host/token");
  assert.deepEqual(told.map(({ credentials, headers, body }) => [credentials, headers.get("Authorization"), headers.get("X-CSRF-Token"), body]), [
    ["omit", "Bearer hostkey", null, '{"room_id":"room_1"}'], ["same-origin", null, "t1", '{"room_id":"room_1"}'],
  ]);
});

test("who is signed in is asked once, and goes along with the session's token", async () => {
  const asked = signedIn();
  await api.createRoom({}, null);
  await api.createOrder("abc", {}, "s3cret");
  assert.deepEqual(asked.map(({ path, credentials, headers }) => [path, credentials, headers.get("X-CSRF-Token")]), [
    ["/api/me", "same-origin", null], ["/api/rooms", "same-origin", "t1"], ["/api/rooms/abc/orders", "same-origin", "t1"],
  ]);
  await api.getCard("abc");
  assert.equal(asked.at(-1).credentials, "omit", "what is everybody's needs no cookie");
});

test("a session that began anew in another tab is asked for and the call repeated, once", async () => {
  const asked = signedIn({ stale: true });
  await api.createRoom({}, null);
  assert.deepEqual(asked.map(({ path, headers }) => [path, headers.get("X-CSRF-Token")]),
    [["/api/me", null], ["/api/rooms", "t1"], ["/api/me", null], ["/api/rooms", "t2"]]);
});

test("who was signed out elsewhere goes on as a visitor", async () => {
  const asked = signedIn({ over: true });
  await api.createRoom({}, null);
  assert.equal(asked.at(-1).credentials, "omit");
});
