"""A moving picture for Chromium's fake camera, busy enough that an encoder uses its whole budget."""

import itertools
from pathlib import Path

from av.filter import Graph
from av.video.frame import VideoFrame

WIDTH, HEIGHT, FRAMES_PER_S = 1280, 720, 30
SECONDS = 2
SOURCE = f"size={WIDTH}x{HEIGHT}:rate={FRAMES_PER_S}:duration={SECONDS}"


def write_picture(file: Path) -> None:
    """A YUV4MPEG2 file of two seconds (83 MB); Chromium begins anew at its end."""
    graph = Graph()
    filters = [
        graph.add("testsrc2", SOURCE),
        graph.add("noise", "alls=3:allf=t"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ]
    for before, after in itertools.pairwise(filters):
        before.link_to(after)
    graph.configure()
    with file.open("wb") as out:
        out.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FRAMES_PER_S}:1 Ip A1:1 C420jpeg\n".encode())
        for _ in range(FRAMES_PER_S * SECONDS):
            frame = graph.pull()
            assert isinstance(frame, VideoFrame)
            out.write(b"FRAME\n" + b"".join(bytes(plane) for plane in frame.planes))
