// A WebSocket, a clock and timers in memory, for tests of web/js/protocol.js. Nothing here waits.

/** Timers on an invented clock. */
export class Clock {
  constructor() {
    this.nowMs = 0;
    this._next = 1;
    this._timers = new Map();
    this.now = () => this.nowMs;
    this.setTimeout = (action, delayMs) => {
      this._timers.set(this._next, { action, dueMs: this.nowMs + delayMs });
      return this._next++;
    };
    this.clearTimeout = (id) => this._timers.delete(id);
  }

  /** Let time pass; what falls due runs at its own moment, in order. */
  async pass(ms) {
    const endMs = this.nowMs + ms;
    for (;;) {
      await settle();
      const due = [...this._timers].filter(([, timer]) => timer.dueMs <= endMs).sort((a, b) => a[1].dueMs - b[1].dueMs)[0];
      if (!due) break;
      this._timers.delete(due[0]);
      this.nowMs = due[1].dueMs;
      due[1].action();
    }
    this.nowMs = endMs;
    await settle();
  }

  get waiting() {
    return this._timers.size;
  }
}

/** Let promises that are already decided be heard. */
export async function settle() {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

/** A network of sockets: each `new Socket(url)` appears in `opened`. */
export function network() {
  const opened = [];
  class Socket {
    constructor(url) {
      this.url = url;
      this.readyState = 0;
      this.sent = [];
      opened.push(this);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
    }

    close() {
      this.readyState = 3;
    }

    // ---- the server's side

    accept() {
      this.readyState = 1;
      this.onopen();
      return this;
    }

    say(message) {
      this.onmessage({ data: typeof message === "string" ? message : JSON.stringify(message) });
      return this;
    }

    breakOff() {
      this.readyState = 3;
      this.onclose({});
    }

    get last() {
      return this.sent.at(-1);
    }
  }
  return { opened, Socket };
}

export function joined(fields = {}) {
  return {
    type: "joined", participant_id: "par_1", role: "payer", resume_key: "key_1", grants: { publish: true, moderate: false },
    room: {}, ice_servers: [], meter: null, ...fields,
  };
}
