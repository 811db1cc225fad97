"""ICE-lite on shared UDP sockets (RFC 8445 section 2.5): one socket per local address, all peers on one port.
What comes by TCP (`icetcp.py`) is checked here in the same way.

A check is routed by the ufrag in its USERNAME and believed only by its MESSAGE-INTEGRITY. Everything else is
routed by an address that such a check has verified; what comes from elsewhere, is empty or over 1500 bytes
never reaches a peer. We send to the latest source that nominated, and nowhere else.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from mediaserver.checks import Check, read_check, success
from mediaserver.errors import PortInUseError

DATAGRAM_BYTES_MAX = 1500
# Of one wake-up: many small packets, or few that are fanned out to hundreds.
DRAIN_PACKETS_MAX = 64
DRAIN_NS_MAX = 5_000_000
SOCKET_BUFFER_BYTES = 4 << 20
ADDRESSES_PER_AGENT_MAX = 8
FORMER_CREDENTIALS_MAX = 2
# An address stays with its owner while that one was heard there: browsers check every 2.5 to 5 s.
OWNER_LIVE_NS = 6_000_000_000
# Browsers that nominate every pair (RFC 5245 section 8.1.1.2) do so at the start, within this time.
NOMINATIONS_TOGETHER_NS = 2_000_000_000
STUN_FIRST_BYTE_MAX = 3

Address = tuple[Any, ...]  # (host, port) or (host, port, flow, scope)


class Receiver(Protocol):
    """Whom an agent serves."""

    def on_datagram(self, data: bytes) -> None:
        """DTLS, SRTP or SRTCP from a verified address; 1 to 1500 bytes."""

    def on_checked(self) -> None:
        """An authenticated check came; a route to the client exists."""


class Port(Protocol):
    """Where packets come in and leave: a UDP socket for many clients, or one client's TCP connection."""

    protocol: ClassVar[str]
    agents: "dict[Address, IceAgent]"
    dropped: int

    @property
    def send_to(self) -> Callable[[bytes | memoryview, Address], object]:
        """Send one packet; OSError when it was lost here."""

    def send(self, data: bytes, address: Address, /) -> None:
        """Send one packet; lost without a word when it cannot leave."""

    def forget(self, address: Address, /) -> None:
        """Its agent no longer wants what comes from there."""


class NativeSockets(Protocol):
    """A native plane that reads the sockets in place of `UdpPort`: it is told what it must know of peers, each of
    which it knows by a link of its own making."""

    @property
    def dropped(self) -> int:
        """Datagrams that it dropped, coming in or going out."""

    def open_port(self, port: "UdpPort") -> Any: ...

    def close_port(self, port: "UdpPort") -> None: ...

    def drain(self, port: "UdpPort") -> None:
        """One wake-up: what is not its own to handle goes to the port's and the agents' receivers."""

    def open_peer(self, receiver: Receiver) -> Any: ...

    def close_peer(self, link: Any) -> None: ...

    def add_address(self, link: Any, port: "UdpPort", address: Address) -> None: ...

    def remove_address(self, port: "UdpPort", address: Address) -> None: ...

    def set_route(self, link: Any, route: "tuple[Port, Address] | None") -> None: ...

    def take(self, link: Any, data: bytes) -> None:
        """A packet came from a verified client by a connection of its own; it may wait for `flush`."""

    def flush(self) -> None:
        """What was taken goes where it belongs."""


class UdpPort:
    """One bound socket, and the agents by the addresses they verified on it. With `native` that reads it; `index`
    tells the ports of a server apart."""

    protocol: ClassVar[str] = "udp"

    def __init__(
        self,
        address: str,
        port: int,
        now_ns: Callable[[], int],
        native: NativeSockets | None = None,
        index: int = 0,
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.address = address
        self._now_ns = now_ns
        self.agents: dict[Address, IceAgent] = {}
        self.dropped = 0
        self.index = index
        self.link: Any = None
        self._native = native
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._socket.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
        self._bind(address, port)
        self.send_to: Callable[[bytes | memoryview, Address], object] = self._socket.sendto

    def _bind(self, address: str, port: int) -> None:
        try:
            self._socket.bind((address, port))
        except OSError as error:
            self._socket.close()
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(f"UDP port {port} on {address} is in use") from error
            raise

    @property
    def port(self) -> int:
        number: int = self._socket.getsockname()[1]
        return number

    def fileno(self) -> int:
        return self._socket.fileno()

    def start(self, on_check: Callable[["UdpPort", bytes, Address], None]) -> None:
        self.on_check = on_check
        if self._native is not None:
            self.link = self._native.open_port(self)
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._drain)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            if self._native is not None:
                self._native.close_port(self)
            self._socket.close()

    def _drain(self) -> None:
        """Read what has arrived; bounded, so that timers and other sockets get their turn."""
        if self._native is not None:
            self._native.drain(self)
            return
        receive = self._socket.recvfrom
        until_ns = self._now_ns() + DRAIN_NS_MAX
        for _ in range(DRAIN_PACKETS_MAX):
            try:
                data, address = receive(DATAGRAM_BYTES_MAX + 1)
            except OSError:  # nothing left, or an ICMP error of an earlier send
                return
            self._route(data, address)
            if self._now_ns() >= until_ns:
                return

    def _route(self, data: bytes, address: Address) -> None:
        if not 0 < len(data) <= DATAGRAM_BYTES_MAX:
            self.dropped += 1
        elif data[0] <= STUN_FIRST_BYTE_MAX:
            self.on_check(self, data, address)
        elif (agent := self.agents.get(address)) is not None:
            agent.receiver.on_datagram(data)
        else:
            self.dropped += 1

    def forget(self, address: Address) -> None:
        if self.agents.pop(address, None) is not None and self._native is not None:
            self._native.remove_address(self, address)

    def send(self, data: bytes, address: Address) -> None:
        """Best effort, like the network: a full socket buffer or an unreachable client loses the packet."""
        try:
            self.send_to(data, address)
        except OSError:
            self.dropped += 1


@dataclass(slots=True, eq=False)
class IceAgent:
    """Our end of one peer's connectivity. `heard_ns`: the last authenticated packet, 0 before the first."""

    receiver: Receiver
    ufrag: str
    password: str
    route: tuple[Port, Address] | None = None
    verified: list[tuple[Port, Address]] = field(default_factory=list)
    heard_ns: int = 0
    nominated_ns: int = 0
    # Credentials of before a restart: they live until the new ones are nominated.
    former: list[str] = field(default_factory=list)
    # What a native plane keeps of the peer; it hears SRTP by itself.
    link: Any = None

    @property
    def last_heard_ns(self) -> int:
        return self.heard_ns if self.link is None else max(self.heard_ns, self.link.heard_ns)

    def send(self, data: bytes) -> None:
        if self.route is not None:
            self.route[0].send(data, self.route[1])


class IceServer:
    """All sockets and agents of a media server."""

    def __init__(
        self,
        now_ns: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        native: NativeSockets | None = None,
    ) -> None:
        self._native = native
        self._now_ns = now_ns
        self._random_bytes = random_bytes
        self._ports: list[UdpPort] = []
        self._agents: dict[str, tuple[IceAgent, bytes]] = {}

    @property
    def port(self) -> int:
        return self._ports[0].port

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(port.address for port in self._ports)

    @property
    def dropped(self) -> int:
        native = 0 if self._native is None else self._native.dropped
        return native + sum(port.dropped for port in self._ports)

    def start(self, addresses: tuple[str, ...], port: int) -> None:
        """Bind every address to one port; 0 takes a free one. Raises PortInUseError."""
        self._ports = []
        try:
            for index, address in enumerate(addresses):
                bound = UdpPort(address, port, self._now_ns, self._native, index)
                self._ports.append(bound)
                port = bound.port
                bound.start(self.check)
        except (OSError, PortInUseError):
            self.close()
            raise

    def close(self) -> None:
        for port in self._ports:
            port.close()

    def open_agent(self, receiver: Receiver) -> IceAgent:
        agent = IceAgent(receiver, *self._credentials())
        if self._native is not None:
            agent.link = self._native.open_peer(receiver)
        self._agents[agent.ufrag] = (agent, agent.password.encode())
        return agent

    def restart(self, agent: IceAgent) -> None:
        """Fresh credentials; the former ones are dropped once a check with the new ones nominates."""
        agent.former.append(agent.ufrag)
        if len(agent.former) > FORMER_CREDENTIALS_MAX:
            self._agents.pop(agent.former.pop(0), None)
        agent.ufrag, agent.password = self._credentials()
        self._agents[agent.ufrag] = (agent, agent.password.encode())

    def close_agent(self, agent: IceAgent) -> None:
        for ufrag in (agent.ufrag, *agent.former):
            self._agents.pop(ufrag, None)
        for port, address in agent.verified:
            port.forget(address)
        if self._native is not None:
            self._native.close_peer(agent.link)
        agent.verified.clear()
        agent.route = None

    def lost(self, agent: IceAgent, port: Port, address: Address) -> None:
        """Nothing comes from there any more, and nothing can be sent there."""
        agent.verified.remove((port, address))
        if agent.route == (port, address):
            self._set_route(agent, None)

    def receive(self, agent: IceAgent, packet: bytes) -> None:
        """DTLS, SRTP or SRTCP of an agent, read elsewhere than from our sockets. Call `flush` after the last."""
        if self._native is None:
            agent.receiver.on_datagram(packet)
        else:
            self._native.take(agent.link, packet)

    def flush(self) -> None:
        if self._native is not None:
            self._native.flush()

    def _credentials(self) -> tuple[str, str]:
        return self._random_bytes(8).hex(), self._random_bytes(16).hex()

    def check(self, port: Port, data: bytes, address: Address) -> None:
        """A STUN message came: when it is a valid check, answer it and note where its agent can be reached."""
        found = self._authenticate(data)
        if found is None or not self._may_own(found[1], port, address):
            port.dropped += 1
            return
        check, agent, password = found
        self._verify(agent, port, address)
        agent.heard_ns = self._now_ns()
        if agent.route is None or (check.nominates and self._prefers(agent, port)):
            self._nominate(agent, check, port, address)
        port.send(success(check, (address[0].partition("%")[0], address[1]), password), address)
        agent.receiver.on_checked()

    def _authenticate(self, data: bytes) -> tuple[Check, IceAgent, bytes] | None:
        check = read_check(data)
        if check is None:
            return None
        agent, password = self._agents.get(check.username.partition(":")[0], (None, b""))
        if agent is None or not check.is_authentic(password):
            return None
        return check, agent, password

    def _prefers(self, agent: IceAgent, port: Port) -> bool:
        """TCP does not take the place of UDP when a browser nominates both at once."""
        assert agent.route is not None
        together = self._now_ns() - agent.nominated_ns < NOMINATIONS_TOGETHER_NS
        return not (together and agent.route[0].protocol == "udp" and port.protocol == "tcp")

    def _may_own(self, agent: IceAgent, port: Port, address: Address) -> bool:
        """Nobody takes over the address of another live peer (a client with valid credentials of its own
        could otherwise forge the source of a neighbour)."""
        owner = port.agents.get(address)
        return owner is None or owner is agent or self._now_ns() - owner.last_heard_ns > OWNER_LIVE_NS

    def _verify(self, agent: IceAgent, port: Port, address: Address) -> None:
        owner = port.agents.get(address)
        if owner is agent:
            return
        if owner is not None:
            self.lost(owner, port, address)
        if len(agent.verified) >= ADDRESSES_PER_AGENT_MAX:
            oldest = next(entry for entry in agent.verified if entry != agent.route)
            agent.verified.remove(oldest)
            oldest[0].forget(oldest[1])
        agent.verified.append((port, address))
        port.agents[address] = agent
        if self._native is not None and isinstance(port, UdpPort):
            self._native.add_address(agent.link, port, address)

    def _set_route(self, agent: IceAgent, route: tuple[Port, Address] | None) -> None:
        agent.route = route
        if self._native is not None:
            self._native.set_route(agent.link, route)

    def _nominate(self, agent: IceAgent, check: Check, port: Port, address: Address) -> None:
        if agent.route != (port, address):
            self._set_route(agent, (port, address))
        agent.nominated_ns = self._now_ns()
        if check.username.startswith(agent.ufrag + ":"):
            for ufrag in agent.former:
                self._agents.pop(ufrag, None)
            agent.former.clear()
