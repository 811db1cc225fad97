/** Error pages: try again by hand, and by itself while the server restarts or the network is away. */

const POLL_MS = 2000;

const reload = document.getElementById("reload");
if (reload) {
  reload.hidden = false;
  reload.addEventListener("click", () => location.reload());
}

async function healthy() {
  try {
    return (await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(POLL_MS) })).ok;
  } catch {
    return false;
  }
}

async function reloadWhenHealthy() {
  if (await healthy()) location.reload();
  else setTimeout(reloadWhenHealthy, POLL_MS);
}

if (document.getElementById("waiting")) setTimeout(reloadWhenHealthy, POLL_MS);
