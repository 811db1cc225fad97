// The WebSocket protocol of signaling/PROTOCOL.md, as an EventTarget. No DOM, so that it runs under Node too.
// One event per server message (its `type`, the message in `detail`), and `state` for the connection itself.

/** @typedef {"microphone"|"camera"|"screen"|"screen_audio"} Source */
/** @typedef {"publish"|"subscribe"} Transport */
/** @typedef {{amount_minor: number, currency: string}} Money */
/** @typedef {{microphone: boolean, camera: boolean, screen: boolean}} MediaState */
/** @typedef {{mid: string, kind: "audio"|"video", participant_id: string, source: Source}} TrackInfo */
/**
 * @typedef {object} MeterInfo the payer's clock as the server keeps it
 * @property {"waiting"|"counting"|"paused"|"holding"|"ended"} state
 * @property {string|null} [reason]
 * @property {number|null} remaining_ms null: no limit
 * @property {number|null} [used_ms] of the pass, as of `server_time`
 * @property {string|null} [ends_at] only while counting
 * @property {string} [server_time]
 */
/**
 * @typedef {object} Participant
 * @property {string} participant_id
 * @property {"host"|"payer"} role
 * @property {string} name
 * @property {boolean} publish
 * @property {MediaState} media
 * @property {"whip"|"whep"} [via] an encoder or a player in place of a page
 * @property {MeterInfo|null} [meter] for the host only
 * @property {Money|null} [paid] for the host only
 * @property {Reception["state"]} [reception] how well a payer receives, for the host only
 */
/**
 * @typedef {object} RoomInfo
 * @property {string} slug
 * @property {string} title
 * @property {string} description
 * @property {"confidential"|"conference"} privacy
 * @property {boolean} locked
 * @property {string} mode
 * @property {string} currency
 * @property {object} tariff
 * @property {string[]} video_codecs in the room's order of preference
 */
/**
 * @typedef {object} Joined
 * @property {string} participant_id
 * @property {"host"|"payer"} role
 * @property {string} resume_key
 * @property {boolean} [resumed]
 * @property {{publish: boolean, moderate: boolean}} grants
 * @property {RoomInfo} room
 * @property {RTCIceServer[]} ice_servers
 * @property {MeterInfo|null} meter
 */
/** @typedef {{state: "good"|"reduced"|"poor"|"audio_only", estimate_bps: number|null}} Reception how well we receive */
/** @typedef {{offer_id: number|string, sdp: string, tracks: TrackInfo[]}} Offer */
/** @typedef {{code: string, used_ms?: number|null, charged?: Money|null, refund?: Money|null, message?: string}} Ended */
/**
 * @typedef {object} Notice
 * @property {"paid"|"joined"|"left"|"warning"|"extended"|"granted"|"muted"|"locked"|"unlocked"|"host_away"|"host_back"|"balance_low"|"topped_up"|"funding_failed"|"funded"|"action_needed"|"lapsing"} kind
 * @property {string} [name]
 * @property {string} [participant_id]
 * @property {Money} [amount]
 * @property {number} [seconds]
 * @property {number} [remaining_ms]
 * @property {Money} [balance] of the wallet
 * @property {string} [failure]
 * @property {string} [client_secret] of the payment that the payer must confirm
 * @property {string} [action_url] where they do so in the sandbox
 * @property {string} [sent_at]
 */
/** @typedef {{token: string, ws_url: string}} Ticket */
/** @typedef {"idle"|"token"|"connecting"|"joining"|"connected"|"reconnecting"|"ended"} ConnectionState */
/** @typedef {"resume"|"token"|"once"|"pause"|"never"} AfterEnd */

const RESUME_WINDOW_MS = 30_000;
const PING_EVERY_MS = 10_000;
// Two pings without any answer: the socket is dead although nobody closed it (a sleeping laptop, a changed network).
const SILENCE_MAX_MS = 20_000;
const RATE_LIMIT_PAUSE_MS = 5_000;
const BACKOFF_MS = [0, 1_000, 2_000, 4_000];
const BACKOFF_LAST_MS = 5_000;
// A stay of a minute gives the "once" codes their one attempt back.
const GOOD_STAY_MS = 60_000;
const TOKEN_REFUSALS_MAX = 3;
const LEAVE_WAIT_MS = 2_000;

/** What to do after each `ended` code; what is not listed ends for good. @type {Record<string, AfterEnd>} */
const AFTER_END = {
  bad_token: "token",
  resume_unknown: "token",
  slow_client: "resume",
  connection_lost: "token",
  shutdown: "token",
  run_lost: "token",
  protocol_error: "once",
  media_failed: "once",
  rate_limited: "pause",
};

/** @param {string} code @returns {AfterEnd} */
export function afterEnd(code) {
  return AFTER_END[code] ?? "never";
}

/** What the pass has used by now, from a meter message and what is left now. @param {MeterInfo} meter @param {number|null} leftMs @returns {number} */
export function usedMs(meter, leftMs) {
  return (meter.used_ms ?? 0) + Math.max(0, (meter.remaining_ms ?? 0) - (leftMs ?? 0));
}

/** The wait before attempt number `attempt` (from 0). @param {number} attempt */
export function backoffMs(attempt) {
  return BACKOFF_MS[attempt] ?? BACKOFF_LAST_MS;
}

/**
 * The server's clock against ours: what is left now, from a meter message that arrived at `received_ms`.
 * Both times are on one monotonic clock of the page, so a wrong wall clock changes nothing.
 * @param {MeterInfo} meter @param {number} receivedMs @param {number} nowMs @returns {number|null}
 */
export function remainingMs(meter, receivedMs, nowMs) {
  if (meter.remaining_ms === null || meter.remaining_ms === undefined) return null;
  if (meter.state !== "counting") return Math.max(0, meter.remaining_ms);
  const left = meter.ends_at && meter.server_time
    ? Date.parse(meter.ends_at) - Date.parse(meter.server_time)
    : meter.remaining_ms;
  return Math.max(0, left - (nowMs - receivedMs));
}

/** A refusal of the token request that asking again cannot change. @param {any} error */
function isFinalRefusal(error) {
  return typeof error?.code === "string" && error.status >= 400 && error.status < 500
    && error.status !== 429 && error.status !== 408;
}

/**
 * One participant's WebSocket, kept alive: it joins, resumes, joins again, and ends once.
 *
 * Events: `state` (`detail {state, step}`), every server message by its type, and `ended` exactly once, when
 * no further attempt will be made. An ending that is followed by another attempt is `interrupted`.
 */
export class Connection extends EventTarget {
  /**
   * @param {object} options
   * @param {() => Promise<Ticket>} options.getToken asks the server for a join token; rejects with
   *   `{status, code}` when refused, with anything else when out of reach
   * @param {typeof WebSocket} [options.WebSocket]
   * @param {{setTimeout: Function, clearTimeout: Function}} [options.timers]
   * @param {() => number} [options.now] monotonic milliseconds
   */
  constructor({ getToken, WebSocket: Socket = globalThis.WebSocket, timers = globalThis, now = () => performance.now() }) {
    super();
    this._getToken = getToken;
    this._Socket = Socket;
    this._timers = timers;
    this._now = now;
    /** @type {ConnectionState} */
    this.state = "idle";
    /** @type {WebSocket|null} */
    this._socket = null;
    this._wsUrl = "";
    this._resumeKey = "";
    this._attempt = 0;
    this._tokenRefusals = 0;
    this._onceUsed = false;
    this._lostAt = 0;
    this._joinedAt = 0;
    this._heardAt = 0;
    this._pingN = 0;
    this._hasBeenIn = false;
    this._closedByUs = false;
    this._retryTimer = null;
    this._pingTimer = null;
    /** Counts attempts, so that an answer to an abandoned one is dropped. */
    this._generation = 0;
  }

  /** Enter. Safe to call again after an ending, as "try again" and "use it here" do. */
  start() {
    this._closedByUs = false;
    this._hasBeenIn = false;
    this._resumeKey = "";
    this._attempt = 0;
    this._tokenRefusals = 0;
    this._onceUsed = false;
    this._join();
  }

  /** @param {{type: string} & Record<string, unknown>} message @returns {boolean} false: not connected, not sent */
  send(message) {
    if (this.state !== "connected" || !this._socket) return false;
    this._socket.send(JSON.stringify(message));
    return true;
  }

  /** End this stay; the pass keeps its remaining time. */
  leave() {
    this._closedByUs = true;
    const told = this.send({ type: "leave" });
    // The server answers with `ended`, which carries what was used; without a connection there is nothing to wait for.
    if (!told) return this._finish({ code: "left" });
    this._schedule(LEAVE_WAIT_MS, () => this._finish({ code: "left" }));
  }

  /** The network is back, or the page woke up: do not wait for the timer. */
  retryNow() {
    if (this._closedByUs) return;
    if (this._retryTimer !== null) {
      this._stopTimers();
      this._attempt = 0;
      this._again();
    } else if (this.state === "connected") {
      this._ping();
    }
  }

  // ---- attempts

  async _join() {
    const generation = ++this._generation;
    this._resumeKey = "";
    this._setState(this._hasBeenIn ? "reconnecting" : "token", "token");
    let ticket;
    try {
      ticket = await this._getToken();
    } catch (error) {
      if (generation === this._generation) this._tokenFailed(error);
      return;
    }
    if (generation !== this._generation || this._closedByUs) return;
    this._wsUrl = ticket.ws_url;
    this._open({ type: "join", token: ticket.token });
  }

  /** @param {any} error */
  _tokenFailed(error) {
    if (this._closedByUs) return this._finish({ code: "left" });
    if (isFinalRefusal(error)) return this._finish({ code: error.code, message: error.message });
    this._retryLater();
  }

  _again() {
    const resumable = this._resumeKey && this._now() - this._lostAt < RESUME_WINDOW_MS;
    if (!resumable) return this._join();
    this._setState("reconnecting", "resume");
    this._open({ type: "resume", key: this._resumeKey });
  }

  /** @param {{type: string} & Record<string, unknown>} hello */
  _open(hello) {
    const generation = ++this._generation;
    if (!this._hasBeenIn) this._setState("connecting", "server");
    const socket = new this._Socket(this._wsUrl);
    this._socket = socket;
    this._heardAt = this._now();
    this._watchSilence();
    let over = false;
    socket.onopen = () => {
      if (!this._hasBeenIn && generation === this._generation) this._setState("joining", "joining");
      socket.send(JSON.stringify(hello));
    };
    socket.onmessage = (event) => {
      if (generation !== this._generation || over) return;
      over = this._received(event.data);
    };
    socket.onclose = () => {
      if (generation === this._generation && !over) this._lost();
    };
  }

  _retryLater() {
    this._setState(this._hasBeenIn ? "reconnecting" : "connecting", "waiting");
    this._schedule(backoffMs(this._attempt++), () => this._again());
  }

  // ---- what comes in

  /** @param {unknown} data @returns {boolean} true when this socket has had its `ended` */
  _received(data) {
    this._heardAt = this._now();
    const message = parse(data);
    if (!message) return false;
    if (message.type === "ended") {
      this._wasEnded(message);
      return true;
    }
    if (message.type === "joined") this._wasJoined(message);
    this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
    return false;
  }

  /** @param {Joined} joined */
  _wasJoined(joined) {
    this._resumeKey = joined.resume_key ?? "";
    this._attempt = 0;
    this._tokenRefusals = 0;
    this._joinedAt = this._now();
    this._hasBeenIn = true;
    this._setState("connected", "");
  }

  /** The socket broke without an `ended`. */
  _lost() {
    this._release();
    if (this._closedByUs) return this._finish({ code: "left" });
    if (this.state === "connected") this._markLost();
    this._retryLater();
  }

  _markLost() {
    this._lostAt = this._now();
    if (this._lostAt - this._joinedAt > GOOD_STAY_MS) this._onceUsed = false;
  }

  /** @param {Ended} ended */
  _wasEnded(ended) {
    if (this.state === "connected") this._markLost();
    this._release();
    const next = this._closedByUs ? "never" : this._nextAfter(ended.code);
    if (next === "never") return this._finish(ended);
    this.dispatchEvent(new CustomEvent("interrupted", { detail: ended }));
    if (next !== "resume") this._resumeKey = "";
    if (next === "pause") return this._pauseThenJoin();
    this._retryLater();
  }

  /** @param {string} code @returns {AfterEnd} */
  _nextAfter(code) {
    const next = afterEnd(code);
    if (next === "once") {
      if (this._onceUsed) return "never";
      this._onceUsed = true;
      return "token";
    }
    // A server that refuses every fresh token would otherwise be asked for ever.
    if (code === "bad_token" && ++this._tokenRefusals >= TOKEN_REFUSALS_MAX) return "never";
    return next;
  }

  _pauseThenJoin() {
    this._setState(this._hasBeenIn ? "reconnecting" : "connecting", "waiting");
    this._schedule(RATE_LIMIT_PAUSE_MS, () => this._join());
  }

  // ---- endings and timers

  /** @param {Ended} ended */
  _finish(ended) {
    this._release();
    this._generation++;
    if (this.state === "ended") return;
    this._setState("ended", "");
    this.dispatchEvent(new CustomEvent("ended", { detail: ended }));
  }

  _release() {
    this._stopTimers();
    const socket = this._socket;
    this._socket = null;
    if (socket && socket.readyState <= 1) socket.close();
  }

  _watchSilence() {
    this._timers.clearTimeout(this._pingTimer);
    this._pingTimer = this._timers.setTimeout(() => this._beat(), PING_EVERY_MS);
  }

  _beat() {
    if (this._now() - this._heardAt >= SILENCE_MAX_MS) {
      // A dead socket's own close event may take minutes: leave it behind.
      this._generation++;
      return this._lost();
    }
    this._ping();
    this._watchSilence();
  }

  _ping() {
    this.send({ type: "ping", n: ++this._pingN });
  }

  /** @param {number} delayMs @param {() => void} action */
  _schedule(delayMs, action) {
    this._timers.clearTimeout(this._retryTimer);
    this._retryTimer = this._timers.setTimeout(() => {
      this._retryTimer = null;
      action();
    }, delayMs);
  }

  _stopTimers() {
    this._timers.clearTimeout(this._retryTimer);
    this._timers.clearTimeout(this._pingTimer);
    this._retryTimer = null;
    this._pingTimer = null;
  }

  /** @param {ConnectionState} state @param {string} step */
  _setState(state, step) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, step } }));
  }
}

/** @param {unknown} data @returns {any} null for what is no message: a newer server may send more than we know */
function parse(data) {
  if (typeof data !== "string") return null;
  try {
    const message = JSON.parse(data);
    return typeof message?.type === "string" ? message : null;
  } catch {
    return null;
  }
}
