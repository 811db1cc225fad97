"""FFmpeg's own WHIP muxer, as PyAV brings it, in a process of its own because it blocks: python -m … url key
cert_file key_file. It sends until SIGTERM, and then says goodbye."""

import itertools
import signal
import sys
import threading
import time
from fractions import Fraction

import av

FRAMES_PER_S = 25
SAMPLES = 960  # 20 ms
SAMPLES_PER_S = 48_000


def main(url: str, key: str, cert_file: str, key_file: str) -> None:
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    options = {"authorization": key, "cert_file": cert_file, "key_file": key_file}
    with av.open(url, "w", format="whip", options=options) as out:
        settings = {"preset": "ultrafast", "tune": "zerolatency", "bf": "0", "g": "25", "profile": "baseline"}
        video = out.add_stream("libx264", rate=FRAMES_PER_S, options=settings)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        audio = out.add_stream("libopus", rate=SAMPLES_PER_S, layout="stereo")
        began = time.monotonic()
        samples = 0
        for number in itertools.count():
            picture = av.VideoFrame(320, 240, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes([number * 5 % 200]) * plane.buffer_size)
            picture.pts, picture.time_base = number, Fraction(1, FRAMES_PER_S)
            out.mux(video.encode(picture))
            while samples < (number + 1) * SAMPLES_PER_S / FRAMES_PER_S:
                sound = av.AudioFrame("s16", "stereo", SAMPLES)
                sound.planes[0].update(bytes(sound.planes[0].buffer_size))
                sound.sample_rate, sound.pts, sound.time_base = (
                    SAMPLES_PER_S,
                    samples,
                    Fraction(1, SAMPLES_PER_S),
                )
                out.mux(audio.encode(sound))
                samples += SAMPLES
            if stopped.wait(max(0.0, began + (number + 1) / FRAMES_PER_S - time.monotonic())):
                break


if __name__ == "__main__":
    main(*sys.argv[1:5])
