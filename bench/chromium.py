"""How Chromium is started by the bench and by the tests: with fake devices, and quiet."""

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--allow-loopback-in-peer-connection",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
