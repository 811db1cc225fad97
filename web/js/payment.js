/**
 * One small interface over three ways to pay: Stripe's hosted page, Stripe's form inside ours, and the sandbox's frame.
 * What a form says about success is only a hint to ask the server; it decides nothing.
 */

import { h, replace, banner, button } from "./dom.js";
import { en } from "./strings/en.js";

/** The Stripe.js that goes with the server's API version; both are released under one name. */
const STRIPE_JS = "https://js.stripe.com/endive/stripe.js";
const FRAME_MIN_PX = 480;
const FRAME_MAX_PX = 2400;

/** @typedef {import("./api.js").Checkout} Checkout */
/** @typedef {{onComplete?: () => void, onCancel?: () => void, onError?: (error: Error) => void}} PaymentEvents */

/**
 * Show a payment form in `element`; `hosted` leaves this page instead.
 * @param {HTMLElement} element
 * @param {Checkout} checkout
 * @param {PaymentEvents} [events] `onComplete`: the form says it is done, ask the server now; `onCancel`: the payer walked away
 * @returns {{destroy: () => void}}
 */
export function mountPayment(element, checkout, events = {}) {
  if (checkout.ui === "hosted") return mountHosted(element, checkout);
  if (checkout.ui === "frame") return mountFrame(element, checkout, events);
  if (checkout.ui === "confirm") return confirmHold(element, checkout, events);
  return mountStripe(element, checkout, events);
}

/** @param {HTMLElement} element @param {{url: string}} checkout */
function mountHosted(element, { url }) {
  const target = new URL(url, location.href);
  if (!/^https?:$/.test(target.protocol)) throw new Error("the payment page's address is not a web address");
  replace(element, banner("info", { busy: true, text: en.payment.leaving }));
  location.assign(target.href);
  return { destroy: () => replace(element) };
}

/** @param {HTMLElement} element @param {{url: string}} checkout @param {PaymentEvents} events */
function mountFrame(element, { url }, { onComplete, onCancel }) {
  const origin = new URL(url, location.href).origin;
  const frame = h("iframe", { class: "payment-frame", src: url, title: en.payment.frameTitle, allow: "payment", height: FRAME_MIN_PX });
  const listen = (/** @type {MessageEvent} */ event) => {
    // Both: another frame of that origin must not be able to speak for this one.
    if (event.origin !== origin || event.source !== frame.contentWindow || event.data?.type !== "tollroom:checkout") return;
    if (event.data.state === "complete") onComplete?.();
    else if (event.data.state === "canceled") onCancel?.();
    else if (event.data.state === "height") setFrameHeight(frame, event.data);
  };
  addEventListener("message", listen);
  replace(element, frame);
  return { destroy: () => { removeEventListener("message", listen); frame.remove(); } };
}

/**
 * The bank's question about a hold that was asked for during a call, or about a card on file: in a frame of the sandbox's, or by Stripe's script over the page.
 * @param {HTMLElement} element @param {{client_secret: string, action_url?: string, publishable_key: string}} hold
 * @param {PaymentEvents} events @returns {{destroy: () => void}}
 */
export function confirmHold(element, { client_secret, action_url, publishable_key }, events) {
  if (action_url) return mountFrame(element, { url: action_url }, events);
  const start = async () => {
    replace(element, banner("info", { busy: true, text: en.payment.bank }));
    try {
      const Stripe = await loadStripe();
      await Stripe(publishable_key).handleNextAction({ clientSecret: client_secret });
      events.onComplete?.();
    } catch (error) {
      showStripeError(element, start, events, /** @type {Error} */ (error));
    }
  };
  start();
  return { destroy: () => replace(element) };
}

/** @param {HTMLIFrameElement} frame @param {{height?: unknown, height_px?: unknown}} message */
function setFrameHeight(frame, { height, height_px }) {
  const asked = Number(height_px ?? height);
  if (Number.isFinite(asked)) frame.height = String(Math.min(FRAME_MAX_PX, Math.max(FRAME_MIN_PX / 2, Math.ceil(asked))));
}

/** @param {HTMLElement} element @param {{client_secret: string, publishable_key: string}} checkout @param {PaymentEvents} events */
function mountStripe(element, checkout, events) {
  let destroyed = false;
  /** @type {{destroy: () => void} | null} */ let page = null;
  const start = async () => {
    replace(element, banner("info", { busy: true, text: en.payment.loading }));
    try {
      const created = await createStripePage(checkout, events);
      if (destroyed) { created.destroy(); return; }
      page = created;
      const holder = h("div", { class: "payment-stripe" });
      replace(element, holder);
      created.mount(holder);
    } catch (error) {
      if (!destroyed) showStripeError(element, start, events, /** @type {Error} */ (error));
    }
  };
  start();
  return { destroy: () => { destroyed = true; page?.destroy(); replace(element); } };
}

/**
 * @param {{client_secret: string, publishable_key: string}} checkout @param {PaymentEvents} events
 * @returns {Promise<{mount: (element: HTMLElement) => void, destroy: () => void}>}
 */
async function createStripePage({ client_secret, publishable_key }, { onComplete }) {
  const Stripe = await loadStripe();
  return Stripe(publishable_key).createEmbeddedCheckoutPage({
    fetchClientSecret: () => Promise.resolve(client_secret),
    onComplete: () => onComplete?.(),
  });
}

/** @param {HTMLElement} element @param {() => void} again @param {PaymentEvents} events @param {Error} error */
function showStripeError(element, again, events, error) {
  const retry = button(en.tryAgain, { icon: "refresh", onClick: again });
  replace(element, banner("danger", { title: en.payment.loadFailed, text: en.payment.loadFailedText, actions: [retry] }));
  events.onError?.(error);
}

/** @type {Promise<any> | null} */
let loading = null;

/** Stripe.js, once; a failed load may be tried again. It must come from Stripe's own server. @returns {Promise<any>} */
function loadStripe() {
  loading ??= new Promise((resolve, reject) => {
    const fail = (/** @type {string} */ why) => { loading = null; script.remove(); reject(new Error(why)); };
    const script = h("script", { src: STRIPE_JS, async: true, on: {
      load: () => { const { Stripe } = /** @type {any} */ (window); if (Stripe) resolve(Stripe); else fail("Stripe.js did not start"); },
      error: () => fail("Stripe.js did not load"),
    } });
    document.head.append(script);
  });
  return loading;
}
