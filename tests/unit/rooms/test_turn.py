"""TURN credentials: what coturn computes from the same secret, per participant, for a day."""

import base64
import hashlib
import hmac

from signaling.rooms.turn import CREDENTIAL_S, Turn

NOW_S = 1_700_000_000.9
TURN = Turn(("turn:turn.example.org:3478?transport=udp", "turns:turn.example.org"), "shared")


def test_the_name_says_until_when_and_for_whom_and_the_password_is_its_hmac() -> None:
    server = TURN.ice_server("par_1", NOW_S)
    assert server["urls"] == ["turn:turn.example.org:3478?transport=udp", "turns:turn.example.org"]
    assert server["username"] == f"{1_700_000_000 + CREDENTIAL_S}:par_1"
    digest = hmac.new(b"shared", server["username"].encode(), hashlib.sha1).digest()
    assert base64.b64decode(server["credential"]) == digest


def test_a_known_answer() -> None:
    # echo -n 1700086400:par_1 | openssl dgst -sha1 -hmac shared -binary | base64
    assert TURN.ice_server("par_1", 1_700_000_000)["credential"] == "aZP6a3RAT530No82NczTVXKNpR8="


def test_participants_and_moments_have_credentials_of_their_own() -> None:
    moments = [("par_1", NOW_S), ("par_2", NOW_S), ("par_1", NOW_S + 1)]
    assert len({TURN.ice_server(*moment)["credential"] for moment in moments}) == 3


def test_the_secret_is_not_handed_out() -> None:
    assert "shared" not in str(TURN.ice_server("par_1", NOW_S))
