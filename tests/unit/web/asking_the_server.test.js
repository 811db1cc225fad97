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
