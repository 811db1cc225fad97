"""A page's WebSocket as a test hears it, and what a test says on it in the server's place: states that a quiet machine
does not come into by itself. Everything else passes between page and server as it is."""

import json
from collections.abc import Callable
from typing import Any

from playwright.sync_api import WebSocketRoute

from tests.browser.people import Person

Message = dict[str, Any]


class Overheard:
    """From before the page is opened. `sent` is what the page says; `change` may change what the server says, and types
    in `mute` do not reach the page: what the test says in their place would be overtaken by the server's own."""

    def __init__(self, person: Person) -> None:
        self.sent: list[Message] = []
        self.heard: list[Message] = []
        self.change: Callable[[Message], Message] = lambda message: message
        self.mute: set[str] = set()
        self._route: WebSocketRoute | None = None
        person.page.route_web_socket("**/ws", self._open)

    def say(self, message_type: str, **fields: Any) -> None:
        """To the page, as if the server had said it."""
        assert self._route is not None
        self._route.send(json.dumps({"type": message_type, **fields}))

    def last(self, message_type: str) -> Message | None:
        """Of what the page has said."""
        return next((message for message in reversed(self.sent) if message["type"] == message_type), None)

    def _open(self, route: WebSocketRoute) -> None:
        self._route = route
        server = route.connect_to_server()

        def from_page(text: str | bytes) -> None:
            self.sent.append(json.loads(text))
            server.send(text)

        def from_server(text: str | bytes) -> None:
            message = json.loads(text)
            self.heard.append(message)
            if message["type"] in self.mute:
                return
            route.send(json.dumps(self.change(message)))

        route.on_message(from_page)
        server.on_message(from_server)


def participant_id(overheard: Overheard) -> str:
    joined = next(message for message in overheard.heard if message["type"] == "joined")
    return str(joined["participant_id"])
