"""AES-GCM of our own: as the standards' vectors, OpenSSL and libsrtp have it, and no packet index twice."""

import random
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pylibsrtp import Error, Policy, Session

from mediaserver import planes
from mediaserver.transport import REPLAY_WINDOW, Scratch, SrtpSender

if not getattr(planes.dataplane, "seal_means", bool)():
    pytest.skip("libsrtp encrypts here", allow_module_level=True)

native = planes.dataplane
MEANS = range(1, native.seal_means() + 1)
PROFILES = {28: Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 44: Policy.SRTP_PROFILE_AEAD_AES_256_GCM}
KEY = bytes(range(44))
SSRC = 0x5501A0B2

# RFC 7714 section 16.1.1 and 16.2.1.
RFC_IV = "51753c6580c2726f20718414"
RFC_HEAD = "8040f17b8041f8d35501a0b2"
RFC_TEXT = "47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573"
RFC_128 = "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce"
RFC_256 = "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13"
# Test cases 1, 4 and 16 of D. McGrew, J. Viega, "The Galois/Counter Mode of Operation" (NIST's submission).
NIST_TEXT = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
NIST_HEAD = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
NIST_IV = "cafebabefacedbaddecaf888"
NIST_KEY = "feffe9928665731c6d6a8f9467308308"
NIST_128 = (
    "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
    "5bc94fbc3221a5db94fae95ae7121a47"
)
NIST_256 = (
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
    "76fc6ece0f4e1768cddf8853bb2d551b"
)


@pytest.mark.parametrize("means", MEANS)
@pytest.mark.parametrize(
    "vector",
    [
        (bytes(range(16)).hex(), RFC_IV, RFC_HEAD, RFC_TEXT, RFC_128),
        (bytes(range(32)).hex(), RFC_IV, RFC_HEAD, RFC_TEXT, RFC_256),
        ("00" * 16, "00" * 12, "", "", "58e2fccefa7e3061367f1d57a4e7455a"),
        (NIST_KEY, NIST_IV, NIST_HEAD, NIST_TEXT, NIST_128),
        (2 * NIST_KEY, NIST_IV, NIST_HEAD, NIST_TEXT, NIST_256),
    ],
)
def test_the_standards_vectors(means, vector):
    key, iv, head, text, sealed = map(bytes.fromhex, vector)
    assert native.seal_bare(key, iv, head, text, means) == sealed


@pytest.mark.parametrize("means", MEANS)
def test_every_length_of_header_and_payload_is_as_openssl_has_it(means):
    chance = random.Random(7714)
    sizes = [(12, size) for size in range(530)] + [(size, 1100) for size in range(530)]
    sizes += [(chance.randrange(400), chance.randrange(1500)) for _ in range(300)]
    for head_bytes, size in sizes:
        key, iv = chance.randbytes(chance.choice([16, 32])), chance.randbytes(12)
        head, text = chance.randbytes(head_bytes), chance.randbytes(size)
        assert native.seal_bare(key, iv, head, text, means) == AESGCM(key).encrypt(iv, text, head)


def test_other_lengths_of_keys_are_refused():
    for size in (0, 12, 24, 36, 45):
        with pytest.raises(ValueError, match="AES-GCM"):
            native.Sealer(bytes(size), 1)


def head(number, extension=b""):
    first = 0x90 if extension else 0x80
    return struct.pack("!BBHII", first, 96, number & 0xFFFF, number * 3000 & 0xFFFFFFFF, SSRC) + extension


def sealer(key=KEY, means=None):
    made = native.Sealer(key, means or native.seal_means())
    made.open(SSRC)
    return made


def session(direction, key=KEY):
    policy = Policy(key=key, ssrc_type=direction, srtp_profile=PROFILES[len(key)])
    policy.window_size = REPLAY_WINDOW
    policy.allow_repeat_tx = False
    return Session(policy)


@pytest.mark.parametrize("means", MEANS)
@pytest.mark.parametrize("size", PROFILES)
def test_packets_are_as_libsrtp_makes_them_and_libsrtp_reads_them_beyond_the_rollover(means, size):
    chance = random.Random(size)
    key = chance.randbytes(size)
    ours, theirs, reader = (
        sealer(key, means),
        session(Policy.SSRC_ANY_OUTBOUND, key),
        session(Policy.SSRC_ANY_INBOUND, key),
    )
    for number in [*range(32_000, 196_500, 900), *range(196_500, 196_700)]:
        extension = chance.choice([b"", b"\xbe\xde\0\2\x31\0\0\x22\0\0\0\0"])
        clear = head(number, extension) + chance.randbytes(chance.choice([0, 1, 140, 1100]))
        start = 12 + len(extension)
        sealed = ours.seal(number, clear[:start], clear[start:])
        assert sealed == theirs.protect(clear)
        assert reader.unprotect(sealed) == clear


def test_no_index_is_used_twice_and_a_late_one_once():
    ours = sealer()
    sent = {number for number in [5, 6, 9, 8, 7, 6, 5, 9] if ours.seal(number, head(number), b"media")}
    assert sent == {5, 6, 7, 8, 9}
    again = [number for number in [5, 5, 6, 9, 8, 7] if ours.seal(number, head(number), b"other")]
    assert again == []


def test_what_lies_behind_the_window_is_refused():
    ours = sealer()
    far = 100_000
    assert ours.seal(far, head(far), b"media")
    assert ours.seal(far - REPLAY_WINDOW + 1, head(far - REPLAY_WINDOW + 1), b"media")
    assert ours.seal(far - REPLAY_WINDOW, head(far - REPLAY_WINDOW), b"media") is None
    for number in (-1, 1 << 48):
        assert ours.seal(number, head(number), b"media") is None


def test_random_orders_are_accepted_as_libsrtp_accepts_them():
    chance = random.Random(3711)
    ours, theirs = sealer(), session(Policy.SSRC_ANY_OUTBOUND)
    highest, sent = 30_000, set()
    for _ in range(6000):
        number = max(0, highest + chance.choice([1, 1, 1, 2, 40, 1030, -1, -2, -50, -1023, -1024, -1500]))
        sealed = ours.seal(number, head(number), b"media")
        try:
            expected = theirs.protect(head(number) + b"media")
        except Error:
            expected = None
        assert sealed == expected
        if sealed is not None:
            assert number not in sent
            sent.add(number)
        highest = max(highest, number)
    assert len(sent) > 2000


def test_an_ssrc_that_was_closed_goes_on_behind_its_highest_index():
    ours = sealer()
    assert ours.seal(70, head(70), b"media")
    ours.close(SSRC)
    ours.open(SSRC)
    assert [ours.seal(number, head(number), b"other") for number in (60, 69, 70)] == [None] * 3
    assert ours.seal(71, head(71), b"other")
    assert ours.seal(71, head(71), b"other") is None


def test_where_a_native_plane_encrypts_nobody_else_does():
    agent = type("Agent", (), {"link": object(), "route": (None, None)})()
    sender = SrtpSender(session(Policy.SSRC_ANY_OUTBOUND), Scratch(), agent)
    assert not sender.send_rtp(head(1), b"media")
