"""A real coturn on loopback, set up as docs/deploy.md says: it relays to the media server's address alone."""

import socket
import subprocess
import time
from pathlib import Path

from tests.browser.server import free_ports

RELAY_PORTS = 200
START_S = 15.0


class Coturn:
    """`urls("udp")` for the way from the browser to it; `stop` ends it."""

    def __init__(self, folder: Path, secret: str) -> None:
        self._folder = folder
        (self.port,) = free_ports(1)
        low = min(self.port, 65535 - RELAY_PORTS - 1) + 1
        self._log = (folder / "coturn.log").open("ab")
        command = ["turnserver", "-n", "-v", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", str(self.port)]
        command += [f"--min-port={low}", f"--max-port={low + RELAY_PORTS}", "--realm=tollroom.test"]
        command += [
            "--use-auth-secret",
            f"--static-auth-secret={secret}",
            "--no-tls",
            "--no-dtls",
            "--no-cli",
        ]
        command += ["--allow-loopback-peers", "--log-file=stdout", f"--pidfile={folder}/coturn.pid"]
        command += [f"--userdb={folder}/turndb"]
        command += ["--denied-peer-ip=0.0.0.0-255.255.255.255", "--allowed-peer-ip=127.0.0.1"]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                assert time.monotonic() < until, self.log
                assert self._process.poll() is None, self.log
                time.sleep(0.05)
            else:
                return

    def url(self, transport: str) -> str:
        return f"turn:127.0.0.1:{self.port}?transport={transport}"

    @property
    def log(self) -> str:
        return (self._folder / "coturn.log").read_text(errors="replace")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._log.close()
