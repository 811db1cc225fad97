"""ICE's checks: STUN as far as an ICE-lite server needs it (RFC 8489, RFC 8445 section 7.3). Pure.

A binding request in, its success response out; every other message is none of ours. A browser checks every 2.5 s as long as
a call lasts: read with aioice's parser of all that STUN can be, that was a third of what Python did at a hundred viewers.
"""

import binascii
import hmac
import socket
from struct import Struct
from typing import NamedTuple

_HEADER = Struct("!HHI12s")
_ATTRIBUTE = Struct("!HH")
_LENGTH = Struct("!H")
_WORD = Struct("!I")
_COOKIE = 0x2112A442
_REQUEST, _SUCCESS = 0x0001, 0x0101  # of method Binding
_USERNAME, _INTEGRITY, _XOR_MAPPED_ADDRESS, _USE_CANDIDATE, _FINGERPRINT = (
    0x0006,
    0x0008,
    0x0020,
    0x0025,
    0x8028,
)
_INTEGRITY_BYTES, _FINGERPRINT_BYTES = 24, 8  # with their heads
_FINGERPRINT_XOR = 0x5354554E


class Check(NamedTuple):
    """A binding request that nobody has authenticated yet. `nominates`: it has USE-CANDIDATE."""

    transaction_id: bytes
    username: str
    nominates: bool
    covered: bytes
    integrity: bytes

    def is_authentic(self, password: bytes) -> bool:
        """RFC 8489 section 14.5; takes as long for a wrong value as for the right one."""
        return hmac.compare_digest(self.integrity, hmac.digest(password, self.covered, "sha1"))


def read_check(data: bytes) -> Check | None:
    """None for what is no whole binding request with USERNAME and MESSAGE-INTEGRITY, or has a wrong FINGERPRINT. What
    follows MESSAGE-INTEGRITY is not looked at, but for FINGERPRINT."""
    if len(data) < _HEADER.size:
        return None
    kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
    if kind != _REQUEST or cookie != _COOKIE or length != len(data) - _HEADER.size:
        return None
    attributes = _attributes(data)
    if any(kind == _FINGERPRINT and value != _fingerprint(data[:at]) for at, kind, value in attributes):
        return None
    known: dict[int, bytes] = {}
    covered = b""
    for at, kind, value in attributes:
        known.setdefault(kind, value)
        if kind == _INTEGRITY:
            covered = _lengthened(data[:at], _INTEGRITY_BYTES)
            break
    if _USERNAME not in known or _INTEGRITY not in known:
        return None
    username = known[_USERNAME].decode("utf-8", "replace")
    return Check(transaction_id, username, _USE_CANDIDATE in known, covered, known[_INTEGRITY])


def _attributes(data: bytes) -> list[tuple[int, int, bytes]]:
    """Where each begins, its type and its value; up to one that is cut off."""
    found = []
    at = _HEADER.size
    while at + _ATTRIBUTE.size <= len(data):
        kind, length = _ATTRIBUTE.unpack_from(data, at)
        end = at + _ATTRIBUTE.size + length
        if end > len(data):
            break
        found.append((at, kind, data[at + _ATTRIBUTE.size : end]))
        at = end + (-length & 3)
    return found


def success(check: Check, address: tuple[str, int], password: bytes) -> bytes:
    """The response that tells the client at which address it was seen."""
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    packed = socket.inet_pton(family, host)
    mask = (_WORD.pack(_COOKIE) + check.transaction_id)[: len(packed)]
    hidden = (int.from_bytes(packed, "big") ^ int.from_bytes(mask, "big")).to_bytes(len(packed), "big")
    body = (
        _ATTRIBUTE.pack(_XOR_MAPPED_ADDRESS, 4 + len(packed))
        + bytes((0, 2 if family == socket.AF_INET6 else 1))
        + _LENGTH.pack(port ^ _COOKIE >> 16)
        + hidden
    )
    # The length counts what is added with each of the next two.
    message = _HEADER.pack(_SUCCESS, len(body) + _INTEGRITY_BYTES, _COOKIE, check.transaction_id) + body
    message += _ATTRIBUTE.pack(_INTEGRITY, 20) + hmac.digest(password, message, "sha1")
    fingerprint = _fingerprint(message)
    return _lengthened(message, _FINGERPRINT_BYTES) + _ATTRIBUTE.pack(_FINGERPRINT, 4) + fingerprint


def _lengthened(message: bytes, more: int) -> bytes:
    """The message as it is once `more` bytes have followed it."""
    return message[:2] + _LENGTH.pack(len(message) - _HEADER.size + more) + message[4:]


def _fingerprint(before: bytes) -> bytes:
    """RFC 8489 section 14.7, of all that is before the attribute."""
    return _WORD.pack(binascii.crc32(_lengthened(before, _FINGERPRINT_BYTES)) ^ _FINGERPRINT_XOR)
