/** The public card as it changes: Server-Sent Events, and plain asking where they do not come through. No DOM. */

import { cardEventsUrl, getCard } from "./api.js";

/** @typedef {import("./api.js").Card} Card */

const RETRY_MS = 5000;

/**
 * @param {string} slug
 * @param {{onCard: (card: Card) => void, onConnection?: (connected: boolean) => void}} listeners
 * @returns {{close: () => void}}
 */
export function watchCard(slug, { onCard, onConnection = () => {} }) {
  /** @type {EventSource | null} */ let source = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;
  let closed = false;

  function open() {
    source = new EventSource(cardEventsUrl(slug));
    source.addEventListener("open", () => onConnection(true));
    source.addEventListener("card", ({ data }) => { onConnection(true); onCard(JSON.parse(data)); });
    source.addEventListener("error", retry);
  }

  /** A stream that was refused (too many watchers, restarting) is not reopened by the browser: ask once, then try again. */
  async function retry() {
    if (source?.readyState !== EventSource.CLOSED) { onConnection(false); return; }
    source.close();
    const answered = await getCard(slug).then((card) => { if (!closed) onCard(card); return true; }, () => false);
    if (closed) return;
    onConnection(answered);
    timer = setTimeout(open, RETRY_MS);
  }

  open();
  return { close: () => { closed = true; clearTimeout(timer); source?.close(); } };
}
