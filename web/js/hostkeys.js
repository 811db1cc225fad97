// The host's key of each room, kept in this browser, and whether the room was live when the page was left.

const KEY = "tollroom:host:";
const LIVE = "tollroom:live:";

/** @param {string} roomId @param {string|null} given from the address' fragment: newer than what is stored @returns {string|null} */
export function hostKey(roomId, given) {
  try {
    if (given) localStorage.setItem(KEY + roomId, given);
    return given ?? localStorage.getItem(KEY + roomId);
  } catch {
    return given;
  }
}

/** It opens nothing any more. @param {string} roomId */
export function forgetHostKey(roomId) {
  try {
    localStorage.removeItem(KEY + roomId);
  } catch {
    // Nothing was kept either.
  }
}

/** @param {string} roomId */
export function rememberLive(roomId) {
  try {
    localStorage.setItem(LIVE + roomId, "yes");
  } catch {
    // Then coming back looks like coming for the first time.
  }
}

/** @param {string} roomId */
export function wasLive(roomId) {
  try {
    return localStorage.getItem(LIVE + roomId) === "yes";
  } catch {
    return false;
  }
}

/** The host left on purpose. @param {string} roomId */
export function forget(roomId) {
  try {
    localStorage.removeItem(LIVE + roomId);
  } catch {
    // Nothing was kept either.
  }
}
