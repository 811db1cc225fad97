"""Whatever the door can be asked, the pool of workers answers with the same words, and a worker lets it through."""

import inspect

from mediaserver.pool import MediaPool
from mediaserver.server import MediaDoor, MediaServer
from mediaserver.worker import CALLS

OWN = {"start", "close", "set_lease"}  # of the pool as a whole; they travel as frames of their own


def _asked() -> set[str]:
    return {name for name, _ in inspect.getmembers(MediaDoor, inspect.iscoroutinefunction)}


def test_every_question_at_the_door_may_be_asked_of_a_worker() -> None:
    assert _asked() - OWN <= CALLS


def test_server_and_pool_take_the_same_arguments() -> None:
    for name in _asked():
        wanted = inspect.signature(getattr(MediaDoor, name)).parameters
        for kind in (MediaServer, MediaPool):
            assert inspect.signature(getattr(kind, name)).parameters == wanted, (kind, name)
