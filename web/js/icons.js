/** The pages' own icons: strokes on a 24 × 24 grid, drawn in the text's colour. */

const SVG = "http://www.w3.org/2000/svg";

/** Path data by name; several strokes are several strings. @type {Record<string, string[]>} */
const STROKES = {
  "arrow-left": ["M19 12H5", "M11 6l-6 6 6 6"],
  "arrow-right": ["M5 12h14", "M13 6l6 6-6 6"],
  bell: ["M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15z", "M10 21h4"],
  camera: ["M3 8a2 2 0 0 1 2-2h9a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z", "M16 11l5-3v8l-5-3"],
  "camera-off": ["M9 6h5a2 2 0 0 1 2 2v5", "M16 16.5A2 2 0 0 1 14 18H5a2 2 0 0 1-2-2V8a2 2 0 0 1 2-2", "M16 11l5-3v8l-3-1.800", "M3 3l18 18"],
  card: ["M3 7a2 2 0 0 1 2-2h14a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z", "M3 10h18", "M7 15h3"],
  chat: ["M4 6a2 2 0 0 1 2-2h12a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-7l-5 4v-4a2 2 0 0 1-2-2z"],
  check: ["M5 12.500l4.500 4.500L19 7"],
  "check-circle": ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18", "M8 12.500l2.800 2.800L16 9.500"],
  clock: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18", "M12 7v5l3.500 2"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  copy: ["M9 9h10v11H9z", "M15 9V4H5v11h4"],
  devices: ["M4 7h9", "M17 7h3", "M15 5a2 2 0 1 0 0 4 2 2 0 0 0 0-4", "M4 17h3", "M11 17h9", "M9 15a2 2 0 1 0 0 4 2 2 0 0 0 0-4"],
  door: ["M6 21V4a1 1 0 0 1 1-1h10a1 1 0 0 1 1 1v17", "M3 21h18", "M14 12v.01"],
  external: ["M14 4h6v6", "M20 4l-9 9", "M18 14v5a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1h5"],
  flask: ["M9 3h6", "M10 3v6l-5 9a2 2 0 0 0 1.700 3h10.600a2 2 0 0 0 1.700-3l-5-9V3", "M7.500 15h9"],
  fullscreen: ["M4 9V4h5", "M20 9V4h-5", "M4 15v5h5", "M20 15v5h-5"],
  hand: ["M8 12V6a1.500 1.500 0 0 1 3 0v5", "M11 11V4.500a1.500 1.500 0 0 1 3 0V11", "M14 11V6a1.500 1.500 0 0 1 3 0v8a6 6 0 0 1-6 6h-.5a6 6 0 0 1-5-2.700L3 13.500a1.500 1.500 0 0 1 2.500-1.600L8 14.500"],
  help: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18", "M9.500 9.500a2.500 2.500 0 1 1 3.600 2.300c-.7.3-1.100.9-1.100 1.700", "M12 16.800v.01"],
  info: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18", "M12 11v5.500", "M12 7.700v.01"],
  key: ["M8 11a4 4 0 1 0 0 8 4 4 0 0 0 0-8", "M11 12l9-9", "M16 7l3 3"],
  leave: ["M3 13.500c0-5 18-5 18 0v1.500a1 1 0 0 1-1.300 1l-3.200-.8a1 1 0 0 1-.8-1v-1.700a12 12 0 0 0-7.400 0v1.700a1 1 0 0 1-.8 1L4.300 16A1 1 0 0 1 3 15z"],
  link: ["M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.700-5.700L12 7", "M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.700 5.700L12 17"],
  lock: ["M6 11h12a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1z", "M8 11V8a4 4 0 0 1 8 0v3"],
  mail: ["M3 7a2 2 0 0 1 2-2h14a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z", "M4 7l8 6 8-6"],
  microphone: ["M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3z", "M5 11a7 7 0 0 0 14 0", "M12 18v3"],
  "microphone-off": ["M9 5a3 3 0 0 1 6 1v5", "M14 13.500A3 3 0 0 1 9 11V9", "M5 11a7 7 0 0 0 11.500 5.400", "M18.800 13a7 7 0 0 0 .2-2", "M12 18v3", "M3 3l18 18"],
  more: ["M12 5v.01", "M12 12v.01", "M12 19v.01"],
  network: ["M4 20v-3", "M10 20v-8", "M16 20V8", "M21 20V4"],
  offline: ["M3 3l18 18", "M5 12.500a10 10 0 0 1 4.500-2.600", "M2 9a15 15 0 0 1 4.500-2.900", "M11 5a15 15 0 0 1 11 4", "M15.500 10.500a10 10 0 0 1 3.500 2", "M8.500 16a5 5 0 0 1 6-.6", "M12 19.500v.01"],
  pause: ["M8 5v14", "M16 5v14"],
  people: ["M9 5a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7", "M2.500 20a6.500 6.500 0 0 1 13 0", "M16 5.300a3.500 3.500 0 0 1 0 6.400", "M18 14.200a6.500 6.500 0 0 1 3.500 5.800"],
  phone: ["M8 3h8a1 1 0 0 1 1 1v16a1 1 0 0 1-1 1H8a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1z", "M11 18h2"],
  play: ["M8 5l11 7-11 7z"],
  plus: ["M12 5v14", "M5 12h14"],
  print: ["M7 9V3h10v6", "M7 17H4v-7a1 1 0 0 1 1-1h14a1 1 0 0 1 1 1v7h-3", "M7 14h10v7H7z"],
  qr: ["M4 4h6v6H4z", "M14 4h6v6h-6z", "M4 14h6v6H4z", "M14 14h2v2h-2z", "M20 14v2", "M18 20h2v-1", "M14 20h1"],
  receipt: ["M6 3h12v18l-3-2-3 2-3-2-3 2z", "M9 8h6", "M9 12h6"],
  refresh: ["M20 11a8 8 0 0 0-14.500-3.500L4 9", "M4 4v5h5", "M4 13a8 8 0 0 0 14.500 3.500L20 15", "M20 20v-5h-5"],
  remove: ["M9 5a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7", "M2.500 20a6.500 6.500 0 0 1 13 0", "M16 8l5 5", "M21 8l-5 5"],
  screen: ["M3 6a1 1 0 0 1 1-1h16a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1z", "M8 21h8", "M12 14V9", "M9.500 11L12 8.500l2.500 2.500"],
  send: ["M4 12l16-8-6 16-3-6z", "M11 14l9-10"],
  share: ["M12 15V3", "M8 7l4-4 4 4", "M5 12v7a1 1 0 0 0 1 1h12a1 1 0 0 0 1-1v-7"],
  sound: ["M4 9.500v5h3.500L12 19V5L7.500 9.500z", "M15.500 9a4 4 0 0 1 0 6", "M18 6.500a8 8 0 0 1 0 11"],
  "sound-off": ["M4 9.500v5h3.500L12 19V5L7.500 9.500z", "M16 10l5 5", "M21 10l-5 5"],
  stop: ["M7 7h10v10H7z"],
  unlock: ["M6 11h12a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1z", "M8 11V8a4 4 0 0 1 7.700-1.500"],
  warning: ["M12 4l9 16H3z", "M12 10v4.500", "M12 17.300v.01"],
};

/**
 * An icon. Decorative (hidden from screen readers) unless it has a `label`.
 * @param {string} name one of STROKES
 * @param {{label?: string, className?: string}} [options]
 * @returns {SVGSVGElement}
 */
export function icon(name, { label, className = "" } = {}) {
  const strokes = STROKES[name];
  if (!strokes) throw new Error(`no icon named ${name}`);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${className}`.trim());
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("focusable", "false");
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else {
    svg.setAttribute("aria-hidden", "true");
  }
  for (const d of strokes) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/** The names there are. */
export const iconNames = Object.freeze(Object.keys(STROKES));
