// Ids and secrets of orders, and where they are kept.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import * as orders from "../../../web/js/orders.js";

/** A browser's storage, as an object whose own keys are the stored ones. */
class Storage {
  getItem(key) { return this[key] ?? null; }
  setItem(key, value) { this[key] = String(value); }
  removeItem(key) { delete this[key]; }
}

beforeEach(() => { globalThis.localStorage = new Storage(); });

test("an order's id has 128 random bits and its secret 32 bytes, both base64url", () => {
  const { order_id, secret } = orders.newOrderKey();
  assert.match(order_id, /^ord_[A-Za-z0-9_-]{22}$/);
  assert.match(secret, /^[A-Za-z0-9_-]{43}$/);
  assert.notEqual(orders.newOrderKey().order_id, order_id);
});

test("a room's order is found again, and forgetting it keeps its receipt's secret", () => {
  const key = orders.newOrderKey();
  orders.saveOrder(key, "abc");
  assert.deepEqual(orders.currentOrder("abc"), key);
  orders.forgetCurrentOrder("abc");
  assert.equal(orders.currentOrder("abc"), null);
  assert.equal(orders.secretOf(key.order_id), key.secret);
});

test("an order that only adds time does not take the room's place", () => {
  const [first, more] = [orders.newOrderKey(), orders.newOrderKey()];
  orders.saveOrder(first, "abc");
  orders.saveOrder(more, "abc", { current: false });
  assert.deepEqual(orders.currentOrder("abc"), first);
  assert.equal(orders.secretOf(more.order_id), more.secret);
});

test("two rooms do not see each other's order", () => {
  orders.saveOrder(orders.newOrderKey(), "abc");
  assert.equal(orders.currentOrder("def"), null);
});

test("the oldest orders make room for new ones", () => {
  const keys = Array.from({ length: 205 }, (_, n) => {
    const key = orders.newOrderKey();
    orders.saveOrder(key, null, { now: n });
    return key;
  });
  assert.equal(Object.keys(localStorage).length, 200);
  assert.equal(orders.secretOf(keys[0].order_id), null);
  assert.equal(orders.secretOf(keys[204].order_id), keys[204].secret);
});

test("a browser without storage keeps an order as long as the page", () => {
  Object.defineProperty(globalThis, "localStorage", { configurable: true, get() { throw new Error("refused"); } });
  try {
    const key = orders.newOrderKey();
    orders.saveOrder(key, "abc");
    assert.equal(orders.storageWorks(), false);
    assert.deepEqual(orders.currentOrder("abc"), key);
  } finally {
    Object.defineProperty(globalThis, "localStorage", { configurable: true, writable: true, value: new Storage() });
  }
});

test("what stands in storage and is no order is ignored", () => {
  localStorage.setItem("tollroom:order:ord_x", "{");
  localStorage.setItem("tollroom:order:ord_y", '{"secret": 5}');
  assert.equal(orders.secretOf("ord_x"), null);
  assert.equal(orders.secretOf("ord_y"), null);
});
