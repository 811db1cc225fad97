/**
 * The service worker. It answers only when the network does not: a page that cannot be fetched becomes `/offline`, and one for which a proxy
 * answers that the server behind it is gone becomes `/restarting`; both try again by themselves. Everything else, and everything while the server answers, goes its usual way; no page, answer or secret is stored.
 */

const STORE = "tollroom-offline-2";
const OFFLINE = "/offline";
const RESTARTING = "/restarting";
const KEPT = [
  OFFLINE, RESTARTING, "/static/css/tokens.css", "/static/css/base.css", "/static/css/components.css", "/static/css/pages.css",
  "/static/js/error.js", "/static/js/offline.js", "/static/icons/favicon.svg",
];
/** What a proxy says while the server behind it restarts. */
const AWAY = [502, 503, 504];

const worker = /** @type {any} */ (self);

worker.addEventListener("install", (/** @type {any} */ event) => {
  event.waitUntil(caches.open(STORE).then((store) => store.addAll(KEPT)).then(() => worker.skipWaiting()));
});

worker.addEventListener("activate", (/** @type {any} */ event) => {
  event.waitUntil(forgetOlder().then(() => worker.clients.claim()));
});

worker.addEventListener("fetch", (/** @type {any} */ event) => {
  const { request } = event;
  if (request.method !== "GET") return;
  // Whole pages only: a payment form in a frame is none of our business.
  if (request.mode === "navigate" && request.destination === "document") event.respondWith(page(request));
  else if (KEPT.includes(new URL(request.url).pathname)) event.respondWith(kept(request));
});

async function forgetOlder() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name !== STORE).map((name) => caches.delete(name)));
}

/** @param {Request} request */
async function page(request) {
  try {
    const response = await fetch(request);
    return AWAY.includes(response.status) ? ((await caches.match(RESTARTING)) ?? response) : response;
  } catch (error) {
    const offline = await caches.match(OFFLINE);
    if (!offline) throw error;
    return offline;
  }
}

/** @param {Request} request */
async function kept(request) {
  const found = await caches.match(new URL(request.url).pathname);
  try {
    const response = await fetch(request);
    return AWAY.includes(response.status) ? (found ?? response) : response;
  } catch (error) {
    if (!found) throw error;
    return found;
  }
}
