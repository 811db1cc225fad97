// What a page does when its network changes: both connections restart, each in its own way, and nothing is asked twice.
// Run: node --test tests/unit/web_call/

import assert from "node:assert/strict";
import { test } from "node:test";

import { Clock, joined, settle } from "./sockets.js";

/** A peer connection that only remembers what it was asked. */
class FakePeerConnection extends EventTarget {
  constructor(configuration) {
    super();
    this.configuration = configuration;
    this.connectionState = "new";
    this.signalingState = "stable";
    this.offers = [];
    FakePeerConnection.made.push(this);
  }

  getConfiguration() {
    return this.configuration;
  }

  setConfiguration(configuration) {
    this.configuration = configuration;
  }

  addTransceiver(track) {
    return { mid: "0", direction: "sendonly", sender: { track, replaceTrack: async () => undefined, getParameters: () => ({ encodings: [] }) } };
  }

  async createOffer(options) {
    this.offers.push(options);
    return { type: "offer", sdp: `offer ${this.offers.length}` };
  }

  async setLocalDescription() {
    this.signalingState = "have-local-offer";
  }

  async setRemoteDescription() {
    this.signalingState = "stable";
  }

  becomes(state) {
    this.connectionState = state;
    this.dispatchEvent(new Event("connectionstatechange"));
  }

  close() {}
}
FakePeerConnection.made = [];

globalThis.RTCPeerConnection = FakePeerConnection;
globalThis.MediaStream = class {};
const { RoomClient } = await import("../../../web/js/roomclient.js");

/** The page's timers on an invented clock until the test is over; its looks at statistics never come. */
function invented(t) {
  const clock = new Clock();
  const real = { setTimeout, clearTimeout, setInterval };
  Object.assign(globalThis, { setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout, setInterval: () => 0 });
  t.after(() => Object.assign(globalThis, real));
  return clock;
}

/** A client that is in, publishing one camera; `types` are those of its messages. */
async function inside(t) {
  FakePeerConnection.made = [];
  const clock = invented(t);
  const media = Object.assign(new EventTarget(), {
    tracks: () => new Map([["camera", { kind: "video", getSettings: () => ({}) }]]),
    state: () => ({ camera: true }),
  });
  const client = new RoomClient({ getToken: async () => ({}), media });
  const sent = [];
  client.connection.state = "connected";
  client.connection.send = (message) => sent.push(message) > 0;
  client.connection.retryNow = () => undefined;
  const hear = async (type, detail) => {
    client.connection.dispatchEvent(new CustomEvent(type, { detail }));
    await settle();
    await settle();
  };
  await hear("joined", joined({ ice_servers: [{ urls: "turn:a", credential: "old" }] }));
  const [subscribe, publish] = FakePeerConnection.made;
  const types = () => sent.map((message) => message.type).filter((type) => type !== "media");
  return { client, clock, hear, publish, subscribe, types };
}

test("online again: the receiving side asks for a restart, the sending side offers one", async (t) => {
  const { client, hear, publish, types } = await inside(t);
  await hear("published", { sdp: "answer" });
  client.networkBack();
  await settle();
  assert.deepEqual(types(), ["publish", "restart", "publish"]);
  assert.deepEqual(publish.offers.map((offer) => offer.iceRestart), [false, true]);
});

test("a restart waits for the answer that is still due, and then happens once", async (t) => {
  const { client, hear, publish } = await inside(t);
  client.networkBack();
  client.networkBack();
  await settle();
  assert.equal(publish.offers.length, 1);
  await hear("published", { sdp: "answer" });
  await hear("published", { sdp: "answer of the restart" });
  assert.deepEqual(publish.offers.map((offer) => offer.iceRestart), [false, true]);
});

test("failed restarts at once, disconnected after a while, and not when it came back by itself", async (t) => {
  const { clock, subscribe, types } = await inside(t);
  const restarts = () => types().filter((type) => type === "restart").length;
  subscribe.becomes("failed");
  assert.equal(restarts(), 1);
  subscribe.becomes("disconnected");
  subscribe.becomes("connected");
  await clock.pass(10_000);
  assert.equal(restarts(), 1);
  subscribe.becomes("disconnected");
  await clock.pass(10_000);
  assert.equal(restarts(), 2);
});

test("a resume brings fresh relay credentials to both connections and keeps what else they were told", async (t) => {
  const { hear, publish, subscribe } = await inside(t);
  const fresh = [{ urls: "turn:a", credential: "new" }];
  await hear("joined", joined({ resumed: true, ice_servers: fresh }));
  for (const peer of [subscribe, publish]) {
    assert.deepEqual(peer.configuration, { iceServers: fresh, bundlePolicy: "max-bundle" });
  }
  assert.equal(FakePeerConnection.made.length, 2, "the same connections");
});
