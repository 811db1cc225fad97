"""Scripts that make a page an encoder (WHIP) or a player (WHEP)."""

# Takes {url, key, sends}; leaves the connection in `peer` and returns the session's address.
STREAM = """
async ({ url, key, sends }) => {
  const peer = window.peer = new RTCPeerConnection();
  if (sends) {
    const brush = document.createElement("canvas").getContext("2d");
    setInterval(() => { brush.fillStyle = `hsl(${Math.random() * 360} 60% 50%)`; brush.fillRect(Math.random() * 200, 0, 40, 150); }, 50);
    const audio = new AudioContext(), tone = audio.createOscillator(), out = audio.createMediaStreamDestination();
    tone.connect(out);
    tone.start();
    peer.addTransceiver(out.stream.getTracks()[0], { direction: "sendonly" });
    peer.addTransceiver(brush.canvas.captureStream(20).getTracks()[0], { direction: "sendonly" });
  } else {
    for (const kind of ["audio", "video"]) peer.addTransceiver(kind, { direction: "recvonly" });
    const video = document.createElement("video");
    video.muted = true;
    peer.ontrack = ({ track }) => { if (track.kind === "video") { video.srcObject = new MediaStream([track]); video.play(); } };
  }
  await peer.setLocalDescription();
  const headers = { "Content-Type": "application/sdp", Authorization: `Bearer ${key}` };
  const response = await fetch(url, { method: "POST", body: peer.localDescription.sdp, headers });
  if (response.status !== 201) throw new Error(await response.text());
  await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
  return response.headers.get("Location");
}
"""
_VIDEO = "[...(await peer.getStats()).values()].filter((s) => s.type === 'inbound-rtp' && s.kind === 'video')"
# How many pictures were decoded from the source that shows most.
FRAMES = f"async () => Math.max(0, ...({_VIDEO}).map((s) => s.framesDecoded))"
# The sources of which pictures were decoded.
SOURCES = f"async () => ({_VIDEO}).filter((s) => s.framesDecoded > 0).map((s) => s.ssrc)"
