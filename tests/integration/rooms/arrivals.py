"""What reaches a receiving connection of aiortc's, before any decoder."""

import asyncio

from aiortc import RTCPeerConnection


def arrived(peer: RTCPeerConnection) -> int:
    """RTP and RTCP packets. (aiortc shows no picture of an m-line that was inactive in between, and ends a track when its
    source says goodbye; browsers go on.)"""
    return int(peer.getTransceivers()[0].receiver.transport._RTCDtlsTransport__rx_packets)


async def more_arrives(peer: RTCPeerConnection, packets: int, timeout_s: float) -> None:
    """Until so many more packets arrived."""
    before = arrived(peer)
    async with asyncio.timeout(timeout_s):
        while arrived(peer) < before + packets:
            await asyncio.sleep(0.02)
