/** Lets a page that cannot be fetched say so in our words: installs worker.js. Pages work the same without it. */

if ("serviceWorker" in navigator) {
  navigator.serviceWorker.register("/worker.js", { scope: "/" }).catch(() => {
    // Refused for self-signed certificates and in private modes; the browser's own error page does, then.
  });
}
