// Which sizes of our own picture are sent, and what becomes of them when the server takes fewer.

import assert from "node:assert/strict";
import { test } from "node:test";

import { apply, mannerOf, proposals, scalesOf, wishes } from "../../../web/js/encodings.js";
import { PublishPeer } from "../../../web/js/peers.js";

const HD = { width: 1280, height: 720 };
const VGA = { width: 640, height: 480 };
const THUMB = { width: 320, height: 240 };

test("a large camera picture is sent in three sizes, lowest first, at bit rates that fit them", () => {
  const [best] = proposals("camera", HD, "simulcast");
  assert.deepEqual(best.map(({ rid, scaleResolutionDownBy }) => [rid, scaleResolutionDownBy]), [["l", 4], ["m", 2], ["h", 1]]);
  assert.deepEqual(best.map(({ maxBitrate }) => maxBitrate), [150_000, 510_000, 1_700_000]);
});

test("several sizes come without temporal layers, and where a browser does not take that, as it likes", () => {
  const tried = proposals("camera", HD, "simulcast").map((encodings) => encodings.map(({ scalabilityMode }) => scalabilityMode));
  assert.deepEqual(tried, [["L1T1", "L1T1", "L1T1"], [undefined, undefined, undefined], [undefined]]);
});

test("a small capture has fewer sizes, and the largest is the whole picture", () => {
  assert.deepEqual(proposals("camera", VGA, "simulcast")[0].map(({ rid, scaleResolutionDownBy }) => [rid, scaleResolutionDownBy]), [["l", 2], ["h", 1]]);
  const [only] = proposals("camera", THUMB, "simulcast");
  assert.deepEqual([only.length, only[0].rid], [1, undefined]);
});

test("a phone held upright counts like one held across", () => {
  assert.deepEqual(scalesOf("camera", { width: 720, height: 1280 }), [4, 2, 1]);
});

test("a shared screen has a small picture beside the whole one", () => {
  const [best] = proposals("screen", { width: 1920, height: 1080 }, "simulcast");
  assert.deepEqual(best.map(({ scaleResolutionDownBy, maxBitrate }) => [scaleResolutionDownBy, maxBitrate]), [[2, 200_000], [1, 2_500_000]]);
  const survivor = [{ ...best[0] }];
  apply(survivor, wishes(1, "screen", { width: 1920, height: 1080 }));
  assert.deepEqual(survivor, [{ rid: "l", scalabilityMode: "L1T1", active: true, scaleResolutionDownBy: 1, maxBitrate: 2_500_000, maxFramerate: undefined }]);
});

test("a camera that does not tell its size is taken for a usual one", () => {
  assert.equal(proposals("camera", {}, "simulcast")[0].length, 3);
});

test("VP9 and AV1 carry layers in one stream, and without them the plain stream is tried", () => {
  const modes = (size) => proposals("camera", size, "layers").map(([encoding, ...more]) => [encoding.scalabilityMode, more.length]);
  assert.deepEqual(modes(HD), [["L3T1_KEY", 0], ["L1T1", 0], [undefined, 0]]);
  assert.deepEqual(modes(VGA)[0], ["L2T1_KEY", 0]);
});

test("sound has one encoding", () => {
  assert.deepEqual(proposals("microphone", {}, "simulcast"), [[{ maxBitrate: 48_000 }]]);
  assert.equal(proposals("screen_audio", {}, "layers").length, 1);
});

test("the manner follows the first of the room's codecs that this browser can send", () => {
  const all = ["video/VP8", "video/H264", "video/VP9", "video/AV1", "video/rtx"].map((mimeType) => ({ mimeType }));
  assert.equal(mannerOf(["VP8", "VP9"], all), "simulcast");
  assert.equal(mannerOf(["AV1", "VP8"], all), "layers");
  assert.equal(mannerOf(["AV1", "VP8"], [{ mimeType: "video/VP8" }]), "simulcast");
  assert.equal(mannerOf(["VP9"], []), "layers");
  assert.equal(mannerOf([], all), "simulcast");
});

test("when the server takes one encoding, that one becomes the whole picture", () => {
  const survivor = [{ rid: "l", active: true, scaleResolutionDownBy: 4, maxBitrate: 150_000 }];
  assert.equal(apply(survivor, wishes(1, "camera", HD)), true);
  assert.deepEqual(survivor, [{ rid: "l", active: true, scaleResolutionDownBy: 1, maxBitrate: 1_700_000 }]);
});

test("when the server takes two of three, they are the whole picture and its half", () => {
  assert.deepEqual(wishes(2, "camera", HD).map(({ scaleResolutionDownBy }) => scaleResolutionDownBy), [2, 1]);
});

test("when a smaller camera takes over, the upper encodings rest and the largest that is left is whole", () => {
  const three = wishes(3, "camera", HD).map((wish) => ({ ...wish }));
  apply(three, wishes(3, "camera", VGA));
  assert.deepEqual(three.map(({ active, scaleResolutionDownBy }) => [active, scaleResolutionDownBy]), [[true, 2], [true, 1], [false, 1]]);
});

test("what is right already is left alone", () => {
  assert.equal(apply(proposals("camera", HD, "simulcast")[0], wishes(3, "camera", HD)), false);
  assert.equal(apply([{ maxBitrate: 48_000 }], wishes(1, "microphone", {})), false);
});

// ---- the peer that uses them

/** A peer connection that takes encodings as `takes` says, and after the answer keeps the first `kept`. */
function browser(t, { takes = () => true, kept = 3 }) {
  const asked = [];
  class Fake extends EventTarget {
    signalingState = "have-local-offer";

    addTransceiver(track, { sendEncodings }) {
      asked.push(sendEncodings);
      if (!takes(sendEncodings)) throw new Error("not this one");
      this.encodings = sendEncodings.map((encoding) => ({ ...encoding }));
      const sender = {
        track,
        getParameters: () => ({ encodings: this.encodings.map((encoding) => ({ ...encoding })) }),
        setParameters: async ({ encodings }) => { this.encodings = encodings; },
        replaceTrack: async (other) => { sender.track = other; },
      };
      return { mid: "0", direction: "sendonly", sender };
    }

    async setRemoteDescription() {
      this.encodings.length = Math.min(this.encodings.length, kept);
    }
  }
  const before = [globalThis.RTCPeerConnection, globalThis.MediaStream];
  [globalThis.RTCPeerConnection, globalThis.MediaStream] = [Fake, class {}];
  t.after(() => { [globalThis.RTCPeerConnection, globalThis.MediaStream] = before; });
  return asked;
}

const track = (size) => ({ kind: "video", getSettings: () => size });

test("a browser that refuses layers is asked for less", async (t) => {
  const asked = browser(t, { takes: ([encoding]) => !encoding.scalabilityMode });
  const peer = new PublishPeer([], ["VP9"]);
  await peer.setTracks(new Map([["camera", track(HD)]]));
  assert.deepEqual(asked.map(([encoding]) => encoding.scalabilityMode), ["L3T1_KEY", "L1T1", undefined]);
});

test("an answer that takes one of three sizes leaves the whole picture on the air", async (t) => {
  browser(t, { kept: 1 });
  const peer = new PublishPeer([], ["VP8"]);
  await peer.setTracks(new Map([["camera", track(HD)]]));
  await peer.answered("answer");
  assert.deepEqual(peer.pc.encodings.map(({ scaleResolutionDownBy, maxBitrate }) => [scaleResolutionDownBy, maxBitrate]), [[1, 1_700_000]]);
});

test("another camera is sent in the sizes that suit it, without a new offer", async (t) => {
  browser(t, {});
  const peer = new PublishPeer([], ["VP8"]);
  await peer.setTracks(new Map([["camera", track(HD)]]));
  await peer.answered("answer");
  assert.equal(await peer.setTracks(new Map([["camera", track(VGA)]])), false);
  assert.deepEqual(peer.pc.encodings.map(({ active, scaleResolutionDownBy }) => [active, scaleResolutionDownBy]), [[true, 2], [true, 1], [false, 1]]);
});
