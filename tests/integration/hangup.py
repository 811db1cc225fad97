"""Ends a connection of aiortc's so that nothing of it goes on."""

import asyncio

from aiortc import RTCPeerConnection

CONNECTED_S = 5.0


async def hang_up(peer: RTCPeerConnection) -> None:
    """aioice 0.13.0 starts to ask for consent after `close`, for ever, when its last check was answered while it closed:
    its `connect` goes on after that. So `connect` is waited for, and what it started is closed as well."""
    lines = {transceiver.receiver.transport.transport for transceiver in peer.getTransceivers()}
    await peer.close()
    for line in lines:
        connected: asyncio.Event | None = line._RTCIceTransport__start
        if connected is not None:
            async with asyncio.timeout(CONNECTED_S):
                await connected.wait()
            await line._connection.close()
