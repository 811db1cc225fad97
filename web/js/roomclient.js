// One participant's stay in a room: the WebSocket, the two peer connections and our own media, tied together.
// No DOM. The pages listen to its events and call its actions.

import { Connection } from "./protocol.js";
import { LineWatch } from "./line.js";
import { PublishPeer, SubscribePeer, worse } from "./peers.js";
import { Views } from "./views.js";

/** @typedef {import("./protocol.js").Joined} Joined */
/** @typedef {import("./protocol.js").Participant} Participant */
/** @typedef {import("./protocol.js").Source} Source */
/** @typedef {import("./peers.js").RemoteTrack} RemoteTrack */
/** @typedef {import("./peers.js").Quality} Quality */

const LOOK_EVERY_MS = 1_000;
const PASSED_ON = ["state", "interrupted", "meter", "reception", "chat", "notice", "earnings", "ended"];

/**
 * Events (all with `detail`): those of Connection, and `joined`, `participants` (Participant[]), `tracks`
 * (RemoteTrack[]), `media` (connection state of the subscribe side), `grants` ({publish}), `line` (Line|null, when it
 * changes), `speakers` (who speaks, null as long as the server does not say), once a second `link`
 * ({levels: participant → 0..1, frozen: "participant/source" → boolean, qualities: participant → Quality}),
 * `publishing` (connection state of the publish side), `refused` (an `error` message).
 */
export class RoomClient extends EventTarget {
  /**
   * @param {object} options
   * @param {() => Promise<import("./protocol.js").Ticket>} options.getToken
   * @param {import("./localmedia.js").LocalMedia} options.media
   */
  constructor({ getToken, media }) {
    super();
    this.media = media;
    this.connection = new Connection({ getToken });
    /** @type {Joined|null} */
    this.joined = null;
    /** @type {Participant[]} */
    this.participants = [];
    /** @type {RemoteTrack[]} */
    this.tracks = [];
    this.mayPublish = false;
    /** What the connection is at, for the page's words: token, server, joining, waiting, resume. */
    this.step = "";
    /** @type {import("./protocol.js").MeterInfo|null} */
    this.meter = null;
    /** Connection states of the two sides, "new" without one. */
    this.mediaState = "new";
    this.publishState = "new";
    /** @type {PublishPeer|null} */
    this._publish = null;
    /** @type {SubscribePeer|null} */
    this._subscribe = null;
    this._publishing = Promise.resolve();
    this._changedWhileAsking = false;
    this._restartDue = new Set();
    this._lookTimer = 0;
    /** How well we receive, by the server's last word. @type {import("./protocol.js").Reception|null} */
    this.reception = null;
    /** Who speaks, the loudest first. @type {string[]|null} */
    this.speakers = null;
    this._line = new LineWatch();
    /** @type {import("./peers.js").LinkReport[]} */
    this._reports = [];
    this._views = new Views({ send: (sizes) => this.connection.send({ type: "view", sizes }) });
    /** @type {Record<string, import("./views.js").Pixels|null>|null} */
    this._shown = null;
    this._listen();
  }

  get selfId() {
    return this.joined?.participant_id ?? "";
  }

  start() {
    this.connection.start();
  }

  leave() {
    this.connection.leave();
  }

  // ---- actions

  /** @param {string} text */
  chat(text) {
    return this.connection.send({ type: "chat", text });
  }

  /** @param {boolean} wait */
  wait(wait) {
    return this.connection.send({ type: "wait", wait });
  }

  /** @param {string} participantId @param {Source} source */
  mute(participantId, source) {
    return this.connection.send({ type: "mute", participant_id: participantId, source });
  }

  /** @param {string} participantId @param {boolean} publish */
  grant(participantId, publish) {
    return this.connection.send({ type: "grant", participant_id: participantId, publish });
  }

  /** @param {string} participantId @param {boolean} refund */
  kick(participantId, refund) {
    return this.connection.send({ type: "kick", participant_id: participantId, refund });
  }

  /** @param {boolean} locked */
  lock(locked) {
    return this.connection.send({ type: "lock", locked });
  }

  /** @param {boolean} refund */
  closeRoom(refund) {
    return this.connection.send({ type: "close_room", refund });
  }

  // ---- the socket's side

  _listen() {
    const on = (/** @type {string} */ type, /** @type {(detail: any) => void} */ handle) =>
      this.connection.addEventListener(type, (event) => handle(/** @type {CustomEvent} */ (event).detail));
    on("state", ({ step }) => { this.step = step; });
    on("meter", (meter) => { this.meter = meter; });
    for (const type of PASSED_ON) on(type, (detail) => this._emit(type, detail));
    on("joined", (joined) => this._joined(joined));
    on("participants", (message) => this._participants(message.participants));
    on("offer", (offer) => this._offered(offer));
    on("published", ({ sdp }) => this._published(sdp));
    on("error", (error) => this._refused(error));
    on("reception", (reception) => { this.reception = reception; this._drawLine(); });
    on("speakers", ({ participant_ids }) => this._speak(participant_ids));
    on("ended", () => this._over());
    this.media.addEventListener("change", () => this._mediaChanged());
  }

  /** @param {Joined} joined */
  _joined(joined) {
    const resumed = joined.resumed === true && this._subscribe !== null;
    this.joined = joined;
    if (!resumed) this._newPeers();
    this._views.again();
    this._setIceServers(joined.ice_servers ?? []);
    this.meter = joined.meter ?? null;
    this._emit("joined", joined);
    if (joined.meter) this._emit("meter", joined.meter);
    this._setMayPublish(joined.grants.publish);
    // An offer that was on its way when the socket broke got no answer: it has to be made again.
    const lost = this._changedWhileAsking || this._publish?.negotiating === true;
    this._publish?.forgetOffer();
    this._sync(lost);
    this._sendMediaState();
    for (const transport of this._restartDue) this._restart(transport);
  }

  /** @param {RTCIceServer[]} iceServers */
  _setIceServers(iceServers) {
    this._iceServers = iceServers;
    this._subscribe?.setIceServers(iceServers);
    this._publish?.setIceServers(iceServers);
  }

  _newPeers() {
    this._closePeers();
    this._subscribe = new SubscribePeer([]);
    this._subscribe.addEventListener("tracks", (event) => this._tracksChanged(/** @type {CustomEvent} */ (event).detail));
    this._subscribe.addEventListener("state", (event) => this._sideChanged("mediaState", "media", event));
    this._subscribe.addEventListener("restart", () => this._restart("subscribe"));
    this._lookTimer = setInterval(() => this._look(), LOOK_EVERY_MS);
  }

  /** @param {"mediaState"|"publishState"} side @param {string} type @param {Event} event */
  _sideChanged(side, type, event) {
    this[side] = /** @type {CustomEvent} */ (event).detail;
    this._emit(type, this[side]);
  }

  _closePeers() {
    clearInterval(this._lookTimer);
    this._subscribe?.close();
    this._publish?.close();
    this._subscribe = null;
    this._publish = null;
    this.mediaState = "new";
    this.publishState = "new";
    this._restartDue.clear();
    this._forgetLine();
    this._tracksChanged([]);
  }

  _over() {
    this._closePeers();
    this._participants([]);
  }

  /** @param {Participant[]} participants */
  _participants(participants) {
    this.participants = participants;
    this._emit("participants", participants);
    const self = participants.find((person) => person.participant_id === this.selfId);
    if (self) this._setMayPublish(self.publish);
  }

  /** @param {import("./protocol.js").Offer} offer */
  async _offered(offer) {
    const peer = this._subscribe;
    if (!peer) return;
    try {
      const sdp = await peer.accept(offer);
      if (peer === this._subscribe) this.connection.send({ type: "answer", offer_id: offer.offer_id, sdp });
    } catch (error) {
      // A connection that was closed meanwhile; anything else the server notices by the missing answer.
      if (peer === this._subscribe) console.warn("offer not accepted", error);
    }
  }

  /** @param {RemoteTrack[]} tracks */
  _tracksChanged(tracks) {
    this.tracks = tracks;
    this._emit("tracks", tracks);
    this._tellViews();
  }

  /**
   * How large pictures are shown, so that no more is sent. @param {Record<string, import("./views.js").Pixels|null>} sizes
   * by "participant/source"; null where it is not known yet; what is not named is not shown
   */
  show(sizes) {
    this._shown = sizes;
    this._tellViews();
  }

  _tellViews() {
    const shown = this._shown;
    if (!shown) return;
    /** @type {Record<string, import("./views.js").Pixels>} */
    const sizes = {};
    for (const { kind, mid, participant_id, source } of this.tracks) {
      const key = `${participant_id}/${source}`;
      const size = key in shown ? shown[key] : /** @type {const} */ ([0, 0]);
      if (kind === "video" && size) sizes[mid] = [size[0], size[1]];
    }
    this._views.set(sizes);
  }

  /** @param {{code: string, message: string, re?: string}} error */
  _refused(error) {
    if (error.re === "publish") this._publish?.forgetOffer();
    this._emit("refused", error);
  }

  // ---- publishing

  /** @param {boolean} allowed */
  _setMayPublish(allowed) {
    if (allowed === this.mayPublish) return;
    this.mayPublish = allowed;
    if (!allowed) {
      this._publish?.close();
      this._publish = null;
    }
    this._emit("grants", { publish: allowed });
    this._sync(false);
  }

  _mediaChanged() {
    this._sync(false);
    this._sendMediaState();
  }

  _sendMediaState() {
    if (this.mayPublish) this.connection.send({ type: "media", ...this.media.state() });
  }

  /** Bring what the server knows of our tracks in line with what they are. @param {boolean} always offer even when nothing changed */
  _sync(always) {
    this._publishing = this._publishing.then(() => this._syncNow(always)).catch((error) => {
      console.warn("publishing failed", error);
    });
  }

  /** @param {boolean} always */
  async _syncNow(always) {
    const tracks = this.media.tracks();
    if (!this.mayPublish || this.connection.state !== "connected" || (tracks.size === 0 && !this._publish)) return;
    const peer = this._publishPeer();
    const changed = await peer.setTracks(tracks);
    if (!changed && !always) return;
    if (peer.negotiating) {
      this._changedWhileAsking = true;
      return;
    }
    await this._sendOffer(peer, {});
  }

  /** @param {PublishPeer} peer @param {{iceRestart?: boolean}} options */
  async _sendOffer(peer, options) {
    this._changedWhileAsking = false;
    const { sdp, sources } = await peer.offer(options);
    const sent = peer === this._publish && this.connection.send({ type: "publish", sdp, sources });
    // Not sent: the socket broke meanwhile, and the resume sends it again.
    if (!sent) this._changedWhileAsking = true;
  }

  _publishPeer() {
    if (this._publish) return this._publish;
    const peer = new PublishPeer(this._iceServers ?? [], this.joined?.room.video_codecs);
    peer.addEventListener("restart", () => this._restart("publish"));
    peer.addEventListener("state", (event) => this._sideChanged("publishState", "publishing", event));
    this._publish = peer;
    return peer;
  }

  /** @param {string} sdp */
  async _published(sdp) {
    try {
      await this._publish?.answered(sdp);
    } catch (error) {
      console.warn("publish answer not accepted", error);
      this._publish?.forgetOffer();
    }
    if (this._restartDue.has("publish")) this._restart("publish");
    if (this._changedWhileAsking) this._sync(true);
  }

  // ---- a connection in trouble

  /** The browser has a network again, perhaps another one: the old addresses are not waited for. */
  networkBack() {
    this.connection.retryNow();
    if (this._subscribe) this._restart("subscribe");
    if (this._publish) this._restart("publish");
  }

  /** @param {import("./protocol.js").Transport} transport */
  _restart(transport) {
    if (this.connection.state !== "connected") {
      this._restartDue.add(transport);
      return;
    }
    this._restartDue.delete(transport);
    if (transport === "subscribe") this.connection.send({ type: "restart", transport });
    else this._publishing = this._publishing.then(() => this._restartPublish()).catch(() => undefined);
  }

  async _restartPublish() {
    if (!this._publish) return;
    // Its answer would be taken for that of the restart.
    if (this._publish.negotiating) this._restartDue.add("publish");
    else await this._sendOffer(this._publish, { iceRestart: true });
  }

  // ---- how good the line is, and who speaks

  async _look() {
    const [incoming, outgoing] = await Promise.all([this._subscribe?.report(), this._publish?.report()]);
    if (!incoming) return;
    this._reports = outgoing ? [incoming, outgoing] : [incoming];
    this._emit("link", {
      levels: { ...this._byParticipant(incoming.levels), [this.selfId]: outgoing?.levels.own ?? 0 },
      frozen: this._bySource(incoming.frozen),
      qualities: this._qualities(incoming.qualities),
    });
    this._drawLine();
  }

  _drawLine() {
    const [incoming, outgoing] = this._reports;
    const before = this._line.shown;
    const line = this._line.look({
      told: this.reception?.state ?? null,
      incoming: incoming?.quality ?? null,
      outgoing: outgoing?.quality ?? null,
      limited: outgoing?.limited ?? "",
    });
    if (line !== before) this._emit("line", line);
  }

  /** @param {string[]|null} participantIds */
  _speak(participantIds) {
    this.speakers = participantIds;
    this._emit("speakers", participantIds);
  }

  _forgetLine() {
    this.reception = null;
    this._reports = [];
    this._line = new LineWatch();
    this._views.stop();
    this._emit("line", null);
    this._speak(null);
  }

  /** The worst track speaks for its person. @param {Record<string, Quality>} qualities by mid */
  _qualities(qualities) {
    /** @type {Record<string, Quality>} */
    const people = {};
    for (const { mid, participant_id } of this.tracks) {
      if (qualities[mid]) people[participant_id] = worse(people[participant_id], qualities[mid]);
    }
    return people;
  }

  /** @param {Record<string, number>} levels by mid */
  _byParticipant(levels) {
    return Object.fromEntries(this.tracks.filter((track) => track.source === "microphone")
      .map((track) => [track.participant_id, levels[track.mid] ?? 0]));
  }

  /** @param {Record<string, boolean>} frozen by mid */
  _bySource(frozen) {
    return Object.fromEntries(this.tracks.filter((track) => track.kind === "video")
      .map((track) => [`${track.participant_id}/${track.source}`, frozen[track.mid] ?? false]));
  }

  /** @param {string} type @param {unknown} detail */
  _emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
