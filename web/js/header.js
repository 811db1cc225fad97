/** The name of who is signed in, in the header. Only on pages of a browser that may have a session. */

import { byId } from "./dom.js";
import { pageInMode, whoAmI } from "./api.js";

try {
  const me = await whoAmI();
  byId("account").setAttribute("href", me ? pageInMode("/me") : "/signin");
  byId("account-name").textContent = me ? me.name : "Sign in";
} catch {
  // The page itself says that the server does not answer.
}
