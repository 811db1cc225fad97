// The two peer connections of a participant. Publish: we offer, the server answers. Subscribe: the server
// offers, we answer. The server is ICE-lite on one public port, so an offer leaves at once, without waiting for
// candidates of ours: behind an unreachable TURN server gathering alone takes 40 s.

import { apply, mannerOf, proposals, wishes } from "./encodings.js";

/** @typedef {import("./protocol.js").Source} Source */
/** @typedef {import("./protocol.js").Offer} Offer */
/** @typedef {import("./protocol.js").TrackInfo} TrackInfo */
/** @typedef {{participant_id: string, source: Source, kind: string, track: MediaStreamTrack, mid: string}} RemoteTrack */
/** @typedef {"good"|"fair"|"poor"} Quality */
/**
 * @typedef {object} LinkReport one look at a connection's statistics
 * @property {Quality|null} quality null: nothing flows, nothing to say
 * @property {Record<string, number>} levels mid → audio level 0..1
 * @property {Record<string, boolean>} frozen mid → a video that decoded nothing since the last look
 * @property {Record<string, Quality>} qualities mid → how that track arrives
 * @property {string} limited why a picture of ours is smaller than it could be: "bandwidth", "cpu", or ""
 */

// A connection that is only "disconnected" often comes back by itself; "failed" never does.
const DISCONNECTED_PATIENCE_MS = 4_000;
// 540 of 720 lines are no loss worth a word, 360 are.
const SMALL_SHARE = 0.4;

class Peer extends EventTarget {
  /** @param {RTCIceServer[]} iceServers */
  constructor(iceServers) {
    super();
    this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this._patience = 0;
    this._counters = new Map();
    this.pc.addEventListener("connectionstatechange", () => this._stateChanged());
  }

  get state() {
    return this.pc.connectionState;
  }

  /** Fresh credentials for the relay, used by the next ICE restart. @param {RTCIceServer[]} iceServers */
  setIceServers(iceServers) {
    this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers });
  }

  close() {
    clearTimeout(this._patience);
    this.pc.close();
  }

  _stateChanged() {
    const state = this.pc.connectionState;
    clearTimeout(this._patience);
    if (state === "failed") this._askRestart();
    if (state === "disconnected") this._patience = setTimeout(() => this._askRestart(), DISCONNECTED_PATIENCE_MS);
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }

  _askRestart() {
    this.dispatchEvent(new CustomEvent("restart"));
  }

  /** What grew since the last look, per statistics id. @param {string} id @param {Record<string, number>} now */
  _growth(id, now) {
    const before = this._counters.get(id) ?? {};
    this._counters.set(id, now);
    return Object.fromEntries(Object.entries(now).map(([key, value]) => [key, value - (before[key] ?? 0)]));
  }
}

/** Our own microphone, camera and screen on their way to the server. */
export class PublishPeer extends Peer {
  /** @param {RTCIceServer[]} iceServers @param {string[]} [codecs] the room's, in its order of preference */
  constructor(iceServers, codecs = []) {
    super(iceServers);
    this._manner = mannerOf(codecs, globalThis.RTCRtpSender?.getCapabilities?.("video")?.codecs ?? []);
    /** @type {Map<Source, RTCRtpTransceiver>} */
    this._transceivers = new Map();
    this._answerDue = false;
    this._streams = { person: new MediaStream(), screen: new MediaStream() };
  }

  /**
   * Make the published tracks these; sources that are not named go off the air.
   * @param {Map<Source, MediaStreamTrack>} tracks
   * @returns {Promise<boolean>} true when the server has to be told by a new offer
   */
  async setTracks(tracks) {
    let renegotiate = false;
    for (const [source, track] of tracks) renegotiate = (await this._put(source, track)) || renegotiate;
    for (const [source, transceiver] of this._transceivers) {
      if (tracks.has(source) || transceiver.direction === "inactive") continue;
      transceiver.direction = "inactive";
      await transceiver.sender.replaceTrack(null);
      renegotiate = true;
    }
    return renegotiate;
  }

  /** @param {Source} source @param {MediaStreamTrack} track */
  async _put(source, track) {
    const known = this._transceivers.get(source);
    if (!known) {
      this._transceivers.set(source, this._add(source, track));
      return true;
    }
    if (known.sender.track !== track) {
      await known.sender.replaceTrack(track);
      await this._fit(source, known.sender);
    }
    if (known.direction === "sendonly") return false;
    known.direction = "sendonly";
    return true;
  }

  /**
   * @param {Source} source @param {MediaStreamTrack} track
   * @param {RTCRtpEncodingParameters[][]} [ways] the best first; not every browser takes every one
   * @returns {RTCRtpTransceiver}
   */
  _add(source, track, ways = proposals(source, track.getSettings(), this._manner)) {
    const [sendEncodings, ...others] = ways;
    try {
      return this.pc.addTransceiver(track, { direction: "sendonly", sendEncodings, streams: [this._stream(source)] });
    } catch (error) {
      if (others.length === 0) throw error;
      return this._add(source, track, others);
    }
  }

  /** The largest encoding that was agreed on is the whole picture. @param {Source} source @param {RTCRtpSender} sender */
  async _fit(source, sender) {
    if (!sender.track || sender.track.kind !== "video") return;
    const parameters = sender.getParameters();
    const { encodings } = parameters;
    if (!apply(encodings, wishes(encodings.length, source, sender.track.getSettings()))) return;
    await sender.setParameters(parameters).catch((error) => console.warn("sizes stay as they were", error));
  }

  /** Sound and picture of one origin share a stream, so that the receiver keeps lips in step. @param {Source} source */
  _stream(source) {
    return source.startsWith("screen") ? this._streams.screen : this._streams.person;
  }

  /** @param {{iceRestart?: boolean}} [options] @returns {Promise<{sdp: string, sources: Record<string, Source>}>} */
  async offer({ iceRestart = false } = {}) {
    const offer = await this.pc.createOffer({ iceRestart });
    await this.pc.setLocalDescription(offer);
    this._answerDue = true;
    return { sdp: offer.sdp ?? "", sources: this._sources() };
  }

  /** mid → source of what is on the air. */
  _sources() {
    /** @type {Record<string, Source>} */
    const sources = {};
    for (const [source, transceiver] of this._transceivers) {
      if (transceiver.mid !== null && transceiver.direction === "sendonly") sources[transceiver.mid] = source;
    }
    return sources;
  }

  /** True while an offer of ours is unanswered. */
  get negotiating() {
    return this._answerDue;
  }

  /** @param {string} sdp */
  async answered(sdp) {
    if (this.pc.signalingState === "have-local-offer") await this.pc.setRemoteDescription({ type: "answer", sdp });
    this._answerDue = false;
    for (const [source, { sender }] of this._transceivers) await this._fit(source, sender);
  }

  /** An answer that will never come (the socket broke, the server refused): the next offer may leave. */
  forgetOffer() {
    this._answerDue = false;
  }

  /** @returns {Promise<LinkReport>} `levels` has our own microphone's level */
  async report() {
    const stats = await this.pc.getStats();
    /** @type {LinkReport} */
    const report = { quality: null, levels: {}, frozen: {}, qualities: {}, limited: "" };
    stats.forEach((entry) => {
      if (entry.type === "media-source" && entry.kind === "audio") report.levels.own = entry.audioLevel ?? 0;
      if (entry.type !== "remote-inbound-rtp" || entry.fractionLost === undefined) return;
      report.quality = worse(report.quality, qualityOf(entry.fractionLost, entry.roundTripTime ?? 0));
    });
    report.limited = limitOf([...stats.values()]);
    return report;
  }
}

/** What the server forwards to us. Emits `tracks` (`detail`: RemoteTrack[]) after each negotiation. */
export class SubscribePeer extends Peer {
  /** @param {RTCIceServer[]} iceServers */
  constructor(iceServers) {
    super(iceServers);
    /** @type {RemoteTrack[]} */
    this.tracks = [];
    // One offer is outstanding at a time by the protocol; after a resume the same one may come twice.
    this._queue = Promise.resolve();
  }

  /** @param {Offer} offer @returns {Promise<string>} the answer's SDP */
  accept(offer) {
    const done = this._queue.then(() => this._accept(offer));
    this._queue = done.then(() => undefined, () => undefined);
    return done;
  }

  /** @param {Offer} offer */
  async _accept(offer) {
    await this.pc.setRemoteDescription({ type: "offer", sdp: offer.sdp });
    const answer = await this.pc.createAnswer();
    await this.pc.setLocalDescription(answer);
    this.tracks = this._mapTracks(offer.tracks ?? []);
    this.dispatchEvent(new CustomEvent("tracks", { detail: this.tracks }));
    return answer.sdp ?? "";
  }

  /** @param {TrackInfo[]} infos @returns {RemoteTrack[]} */
  _mapTracks(infos) {
    const byMid = new Map(this.pc.getTransceivers().map((transceiver) => [transceiver.mid, transceiver]));
    return infos.flatMap((info) => {
      const track = byMid.get(info.mid)?.receiver.track;
      return track ? [{ ...info, track }] : [];
    });
  }

  /** @returns {Promise<LinkReport>} */
  async report() {
    const stats = await this.pc.getStats();
    /** @type {LinkReport} */
    const report = { quality: null, levels: {}, frozen: {}, qualities: {}, limited: "" };
    stats.forEach((entry) => {
      if (entry.type === "inbound-rtp" && entry.mid !== undefined) this._look(entry, report);
    });
    return report;
  }

  /** @param {any} entry an inbound-rtp entry @param {LinkReport} report */
  _look(entry, report) {
    const grown = this._growth(entry.id, {
      received: entry.packetsReceived ?? 0, lost: entry.packetsLost ?? 0, decoded: entry.framesDecoded ?? 0,
    });
    if (entry.kind === "audio") report.levels[entry.mid] = entry.audioLevel ?? 0;
    if (entry.kind === "video") report.frozen[entry.mid] = grown.decoded === 0;
    const expected = grown.received + Math.max(0, grown.lost);
    if (expected <= 0) return;
    report.qualities[entry.mid] = qualityOf(Math.max(0, grown.lost) / expected, 0);
    report.quality = worse(report.quality, report.qualities[entry.mid]);
  }
}

/**
 * Why a captured picture leaves at less than the share of its pixels that still counts as the picture; "" when none does.
 * @param {any[]} stats entries of getStats
 */
export function limitOf(stats) {
  for (const source of stats.filter(({ type, kind }) => type === "media-source" && kind === "video")) {
    const sent = stats.filter((entry) => entry.type === "outbound-rtp" && entry.mediaSourceId === source.id && entry.framesPerSecond > 0);
    const largest = Math.max(...sent.map(({ frameWidth, frameHeight }) => frameWidth * frameHeight));
    const reason = sent.map((entry) => entry.qualityLimitationReason).find((why) => why === "bandwidth" || why === "cpu");
    if (reason && largest <= SMALL_SHARE * source.width * source.height) return reason;
  }
  return "";
}

/** @param {number} lostShare 0..1 @param {number} roundTripS seconds @returns {Quality} */
export function qualityOf(lostShare, roundTripS) {
  if (lostShare > 0.08 || roundTripS > 0.6) return "poor";
  return lostShare > 0.02 || roundTripS > 0.3 ? "fair" : "good";
}

/** @param {Quality|null|undefined} a @param {Quality} b @returns {Quality} */
export function worse(a, b) {
  const order = ["good", "fair", "poor"];
  return a && order.indexOf(a) > order.indexOf(b) ? a : b;
}
