"""A browser's side of signing in, without a browser: keeps cookies, sends the token and the origin that pages send."""

import asyncio
from typing import Any, Self

import aiohttp

from signaling.people.mailbox import Mailbox
from tests.integration.harness import App


class Visitor:
    """One browser. `token` is what `GET /api/me` told it."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.url = app.settings.origin
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        self.token = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """The status and the JSON answer; of a refusal its code."""
        given = {"Origin": self.url, "X-CSRF-Token": self.token} | {
            name.replace("_", "-"): text for name, text in headers.items()
        }
        async with self.http.request(method, self.url + path, json=body, headers=given) as response:
            answer = await response.json()
        return response.status, answer if response.status < 400 else answer["error"]["code"]

    async def ask(self, email: str, **more: Any) -> str:
        """Asks for a link; its token, out of the sandbox's mailbox."""
        mailbox = self.app.parts.people.mailer
        assert isinstance(mailbox, Mailbox)
        before = len(mailbox.letters)
        status, _ = await self.call("POST", "/api/signin", {"email": email} | more)
        assert status == 202
        async with asyncio.timeout(10):
            while len(mailbox.letters) == before:
                await asyncio.sleep(0.02)
        letter = mailbox.letters[0].letter
        (link,) = [line[1] for line in letter.lines if not isinstance(line, str)]
        assert letter.to == email.strip().lower()
        return link.partition("#token=")[2]

    async def open(self, token: str, **more: Any) -> tuple[int, Any]:
        status, answer = await self.call("POST", "/api/signin/open", {"token": token} | more)
        if status == 200:
            self.token = answer["csrf_token"]
        return status, answer

    async def sign_in(self, email: str = "ana@example.org", **more: Any) -> Any:
        """Who they are now."""
        status, answer = await self.open(await self.ask(email), **more)
        assert status == 200, answer
        return answer
