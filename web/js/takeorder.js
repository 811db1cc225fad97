/** Bringing an order of who is signed in to this browser: it gets a secret of its own, as by "continue on another device". */

import { makeLink } from "./api.js";
import { saveOrder } from "./orders.js";

/** Throws what the API refuses. The link before, if there was one, opens nothing any more. @param {string} order_id @param {string | null} slug */
export async function takeOrder(order_id, slug) {
  const { url } = await makeLink(order_id, null);
  const secret = new URLSearchParams(new URL(url).hash.slice(1)).get("secret");
  if (!secret) throw new Error("the link has no secret");
  saveOrder({ order_id, secret }, slug, { current: true });
}
