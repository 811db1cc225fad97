"""The private names of aiortc and pylibsrtp that mediaserver/transport.py stands on, at the versions it was written for."""

import inspect
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCDtlsTransport
from pylibsrtp import Policy, Session
from pylibsrtp._binding import ffi, lib

import mediaserver
from mediaserver.transport import generate_certificate

PINNED = {"aiortc": "1.16.0", "aioice": "0.13.0", "pylibsrtp": "1.0.0"}


@pytest.mark.parametrize("package", PINNED)
def test_installed_versions_are_the_pinned_ones(package):
    assert version(package) == PINNED[package]


def test_the_dtls_transport_has_the_attributes_we_read():
    transport = RTCDtlsTransport(object(), [RTCCertificate.generateCertificate()])
    assert transport._ssl is None
    assert transport._task is None
    transport._set_role("client")
    assert transport._role == "client"


def test_the_dtls_transport_uses_of_its_ice_transport_what_our_stand_in_offers():
    source = inspect.getsource(RTCDtlsTransport)
    assert set(re.findall(r"self\.transport\.(\w+)", source)) == {"role", "_recv", "_send"}


def test_its_pump_ends_with_connection_error_and_its_handshake_catches_it():
    assert "except ConnectionError" in inspect.getsource(RTCDtlsTransport._RTCDtlsTransport__run)
    assert "except ConnectionError" in inspect.getsource(RTCDtlsTransport._do_handshake)


def test_profiles_know_their_key_lengths_and_prefer_gcm():
    assert [profile.openssl_profile for profile in SRTP_PROFILES][:2] == [
        b"SRTP_AEAD_AES_256_GCM",
        b"SRTP_AEAD_AES_128_GCM",
    ]
    profile = SRTP_PROFILES[0]
    keys = bytes(range(2 * (profile.key_length + profile.salt_length)))
    assert len(profile.get_key_and_salt(keys, 1)) == profile.key_length + profile.salt_length


def test_all_peers_of_a_certificate_share_the_context_that_aiortc_makes():
    assert "_create_ssl_context(\n                srtp_profiles=self._srtp_profiles" in inspect.getsource(
        RTCDtlsTransport.start
    )
    certificate, other = generate_certificate(), generate_certificate()
    contexts = [certificate._create_ssl_context(SRTP_PROFILES) for _ in range(2)]
    assert contexts[0] is contexts[1]
    assert contexts[0] is not other._create_ssl_context(SRTP_PROFILES)


def test_libsrtp_works_in_place_on_a_foreign_buffer():
    policy = Policy(
        key=bytes(44), ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_256_GCM
    )
    session = Session(policy)
    buffer, length = ffi.new("char[]", 200), ffi.new("int *")
    packet = b"\x80\x60\x00\x01" + bytes(8) + b"payload"
    ffi.buffer(buffer)[0 : len(packet)] = packet
    length[0] = len(packet)
    assert lib.srtp_protect(session._srtp[0], buffer, length) == 0
    assert length[0] == len(packet) + 16
    for name in ("srtp_unprotect", "srtp_unprotect_rtcp", "srtp_protect_rtcp"):
        assert hasattr(lib, name)


def test_no_other_file_of_the_media_server_touches_private_names_of_them():
    folder = Path(mediaserver.__file__).parent
    for path in folder.rglob("*.py"):
        if path.name != "transport.py":
            text = path.read_text()
            assert not re.search(
                r"(pylibsrtp|RTCDtlsTransport\b.*import|\._(ssl|srtp|binding|set_role)\b)", text
            ), path
