"""Which addresses of this machine media is received on, and which are told to browsers."""

import ipaddress

import ifaddr

from mediaserver.events import MediaConfig
from signaling.config import Settings


def local_addresses() -> tuple[str, ...]:
    """Every address of this machine that others can reach: no loopback, no link-local."""
    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            address = ipaddress.ip_address(text)
            if not (address.is_loopback or address.is_link_local or address.is_multicast):
                found.append(text)
    return tuple(dict.fromkeys(found))


def media_config(settings: Settings) -> MediaConfig:
    """MEDIA_ADDRESS is advertised instead of what the machine has (a router translates). 127.0.0.1 comes along when
    the pages are on localhost: some browsers never use it, and on a machine without a network it is all there is."""
    loopback = ("127.0.0.1",) if settings.is_local else ()
    advertised = tuple(dict.fromkeys(settings.media_address + loopback)) if settings.media_address else ()
    return MediaConfig(
        port=settings.media_port,
        addresses=local_addresses() + loopback or ("127.0.0.1",),
        advertised=advertised,
        plane=settings.media_plane,
        audio_streams_max=settings.media_loudest_max,
    )
