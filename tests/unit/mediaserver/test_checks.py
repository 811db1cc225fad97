"""What is read of a STUN check and answered to it, beside aioice's reading and writing of all that STUN can be."""

import random
import struct

import pytest
from aioice import stun

from mediaserver.checks import read_check, success

PASSWORD = b"password of the agent"
ADDRESSES = [
    ("198.51.100.7", 4000),
    ("255.255.255.255", 65535),
    ("2001:db8::17", 1),
    ("::ffff:1.2.3.4", 8444),
]


def request(*, nominates=True, method=stun.Method.BINDING, kind=stun.Class.REQUEST, **more):
    attributes = {"USERNAME": "ours:theirs", "PRIORITY": 1, "ICE-CONTROLLING": 7, **more}
    if nominates:
        attributes["USE-CANDIDATE"] = None
    message = stun.Message(method, kind, b"twelve bytes", attributes)
    message.add_message_integrity(PASSWORD)
    return bytes(message)


@pytest.mark.parametrize("nominates", [True, False])
def test_a_check_is_read_and_believed_by_its_password_alone(nominates):
    check = read_check(request(nominates=nominates))
    assert (check.transaction_id, check.username, check.nominates) == (
        b"twelve bytes",
        "ours:theirs",
        nominates,
    )
    assert check.is_authentic(PASSWORD)
    assert not check.is_authentic(b"another")
    assert not check.is_authentic(b"")


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_answer_is_as_aioice_writes_it(address):
    expected = stun.Message(
        stun.Method.BINDING, stun.Class.RESPONSE, b"twelve bytes", {"XOR-MAPPED-ADDRESS": address}
    )
    expected.add_message_integrity(PASSWORD)
    assert success(read_check(request()), address, PASSWORD) == bytes(expected)


def test_other_messages_are_none_of_ours():
    assert read_check(request(method=stun.Method.ALLOCATE)) is None
    for kind in (stun.Class.RESPONSE, stun.Class.INDICATION, stun.Class.ERROR):
        assert read_check(request(kind=kind)) is None
    bare = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes={"USERNAME": "ours:theirs"})
    assert read_check(bytes(bare)) is None
    nameless = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    nameless.add_message_integrity(PASSWORD)
    assert read_check(bytes(nameless)) is None


def test_what_follows_the_integrity_is_not_believed():
    whole = request(nominates=False)[:-8]  # without FINGERPRINT
    added = whole + struct.pack("!HHHH3sx", 0x0025, 0, 0x0006, 3, b"you")
    check = read_check(added[:2] + struct.pack("!H", len(added) - 20) + added[4:])
    assert check.is_authentic(PASSWORD)
    assert (check.username, check.nominates) == ("ours:theirs", False)


def test_without_a_fingerprint_it_is_read_and_with_a_wrong_one_not():
    whole = request()
    bare = whole[:2] + struct.pack("!H", len(whole) - 28) + whole[4:-8]
    assert read_check(bare).is_authentic(PASSWORD)
    assert read_check(whole[:-1] + bytes([whole[-1] ^ 1])) is None


def test_no_spoiled_check_is_believed_and_none_raises():
    chance = random.Random(8489)
    whole = request()
    for at in range(len(whole) - 8):  # what comes behind is not protected
        assert read_check(whole[:at]) is None
        spoiled = bytearray(whole)
        spoiled[at] ^= 1 << chance.randrange(8)
        check = read_check(bytes(spoiled))
        assert check is None or not check.is_authentic(PASSWORD)
    for _ in range(3000):
        noise = chance.randbytes(chance.randrange(90)) + b"\0" * chance.randrange(4)
        data = struct.pack("!HHI", 1, len(noise), 0x2112A442) + b"twelve bytes" + noise
        check = read_check(data)
        assert check is None or not check.is_authentic(PASSWORD)
