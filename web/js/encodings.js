// Which sizes of a picture of ours are sent: rid simulcast for VP8 and H264, layers in one stream for VP9 and AV1.
// Every viewer then gets the size that its own line and window take. No DOM.

/** @typedef {import("./protocol.js").Source} Source */
/** @typedef {"simulcast"|"layers"} Manner */
/** @typedef {{width?: number, height?: number}} Size */
/** @typedef {{active: boolean, scaleResolutionDownBy: number, maxBitrate: number, maxFramerate?: number}} Wish */

/** Upper limits; congestion control goes below by itself. */
const MICROPHONE_BPS = 48_000;
const SCREEN_AUDIO_BPS = 96_000;
const SCREEN_BPS = 2_500_000;
/** Little, so that the whole picture, in which one can read, is not starved by it. */
const SMALL_SCREEN = { bps: 200_000, fps: 5 };
const FULL = { width: 1280, height: 720, bps: 1_700_000 };
const CAMERA_BPS_MAX = 2_500_000;
/** Half of each side needs somewhat more than a quarter of the bits: 1.7 Mbit/s, 510 and 150 kbit/s for 720, 360 and 180 lines. */
const BPS_EXPONENT = 0.87;

const SIZES_MAX = 3;
/** Chromium drops the largest encodings of a picture that it finds too small for so many, so no more are asked for. */
const THREE_FROM_PIXELS = 960 * 540;
const TWO_FROM_PIXELS = 480 * 270;

/** Lowest first: an order that every browser takes. @type {Record<number, string[]>} */
const RIDS = { 2: ["l", "h"], 3: ["l", "m", "h"] };
/**
 * No temporal layers anywhere, though beside other sizes Chromium's VP8 has three unless told otherwise. Nobody drops them
 * here, and a receiver goes past a lost frame to the next one of a lower layer instead of waiting for its repetition: at 5 %
 * loss and 50 ms it then decodes about half of the frames.
 */
const STEADY = "L1T1";
/** @type {Record<number, string>} */
const SCALABILITY = { 1: STEADY, 2: "L2T1_KEY", 3: "L3T1_KEY" };
const LAYERED = new Set(["VP9", "AV1"]);

/**
 * How a room's first codec that this browser can send carries several sizes.
 * @param {string[]} roomCodecs in the room's order of preference
 * @param {{mimeType: string}[]} sendable what the browser can send; empty when it does not say
 * @returns {Manner}
 */
export function mannerOf(roomCodecs, sendable) {
  const names = new Set(sendable.map(({ mimeType }) => mimeType.split("/")[1]?.toUpperCase()));
  const codec = roomCodecs.find((name) => names.size === 0 || names.has(name));
  return codec && LAYERED.has(codec) ? "layers" : "simulcast";
}

/**
 * By how much each side is divided in each of the encodings, the smallest picture first.
 * @param {Source} source @param {Size} size of the captured picture; unknown parts as of a usual camera
 * @param {number} [most] how many there may be
 */
export function scalesOf(source, { width = FULL.width, height = FULL.height }, most = SIZES_MAX) {
  const pixels = width * height;
  const large = pixels >= THREE_FROM_PIXELS;
  /** @type {Record<string, number[]>} */
  const scales = { camera: large ? [4, 2, 1] : pixels >= TWO_FROM_PIXELS ? [2, 1] : [1], screen: large ? [2, 1] : [1] };
  return (scales[source] ?? [1]).slice(-most);
}

/** @param {Source} source @param {Size} size @param {number} scale by how much each side is divided */
function maxBitrate(source, { width = FULL.width, height = FULL.height }, scale) {
  if (source === "microphone") return MICROPHONE_BPS;
  if (source === "screen_audio") return SCREEN_AUDIO_BPS;
  if (source === "screen") return scale > 1 ? SMALL_SCREEN.bps : SCREEN_BPS;
  const share = (width * height) / (scale * scale) / (FULL.width * FULL.height);
  return Math.min(CAMERA_BPS_MAX, Math.round((FULL.bps * share ** BPS_EXPONENT) / 10_000) * 10_000);
}

/**
 * What a sender that has `available` encodings should send: the largest one that is used is the whole picture, also
 * where the server took fewer encodings than were offered or the picture has become smaller.
 * @param {number} available @param {Source} source @param {Size} size @returns {Wish[]}
 */
export function wishes(available, source, size) {
  const scales = scalesOf(source, size, available);
  return Array.from({ length: available }, (_, i) => {
    const scaleResolutionDownBy = scales[i] ?? 1;
    const wish = { active: i < scales.length, scaleResolutionDownBy, maxBitrate: maxBitrate(source, size, scaleResolutionDownBy) };
    return source === "screen" ? { ...wish, maxFramerate: scaleResolutionDownBy > 1 ? SMALL_SCREEN.fps : undefined } : wish;
  });
}

/**
 * The encodings of a new sender, in the order in which to try them: not every browser takes every one.
 * @param {Source} source @param {Size} size @param {Manner} manner @returns {RTCRtpEncodingParameters[][]}
 */
export function proposals(source, size, manner) {
  const whole = { maxBitrate: maxBitrate(source, size, 1) };
  const { length } = scalesOf(source, size);
  if (source !== "camera" && source !== "screen") return [[whole]];
  if (manner === "layers") return [layered(whole, SCALABILITY[source === "screen" ? 1 : length]), layered(whole, SCALABILITY[1]), [whole]];
  if (length === 1) return [[whole]];
  const sizes = wishes(length, source, size).map((wish, i) => ({ rid: RIDS[length][i], ...wish }));
  return [sizes.flatMap((encoding) => layered(encoding, STEADY)), sizes, [whole]];
}

/** @param {RTCRtpEncodingParameters} whole @param {string} scalabilityMode */
function layered(whole, scalabilityMode) {
  return [/** @type {RTCRtpEncodingParameters} */ ({ ...whole, scalabilityMode })];
}

/**
 * Put the wishes into a sender's parameters. @param {RTCRtpEncodingParameters[]} encodings changed in place
 * @param {Wish[]} wanted @returns {boolean} false when they were so already
 */
export function apply(encodings, wanted) {
  let changed = false;
  encodings.forEach((encoding, i) => {
    /** @type {Record<string, unknown>} */
    const now = { ...encoding, active: encoding.active ?? true, scaleResolutionDownBy: encoding.scaleResolutionDownBy ?? 1 };
    if (Object.entries(wanted[i]).every(([name, value]) => now[name] === value)) return;
    Object.assign(encoding, wanted[i]);
    changed = true;
  });
  return changed;
}
