"""One seed: a day of a town in which people pay, hosts come and go, banks take back, lines break and processes die; then
a night in which everything comes to rest, and the books must agree.
"""

import asyncio
import gc
import logging
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from unittest.mock import patch

import structlog
from sqlalchemy import create_engine

from signaling.payments.sandbox import tax
from signaling.payments.sandbox.faults import Switch
from signaling.rooms import heartbeat, runner
from signaling.stores.schema import metadata

from . import furnishing, givers, hosts, oracle, payees, payers, people, server, spenders, subscribers
from .bank import Bank, all_of
from .machine import Clock, DeadError, run
from .server import Server
from .wire import Network, client

DAY_S = (300, 600, 1200)
NIGHTS = (
    (300, 9),
    (3600, 8),
    (6 * 3600, 20),
)  # looked at so often: a last evening, the night, the days after it
LOOKS_MIN = 3  # what a server's death cost is given back ten minutes later
BAD_EVENINGS, TWO_SERVERS = 0.3, 0.4  # of towns
AN_HOUR_AND_A_BIT_S = 3_900  # a refund that came back is asked for again an hour later
STORY_LINES = 150
# A tenth of the beats, so that they are not most of what happens; what they promise is as long as that.
BEATS = {"BEAT_MS": 10_000, "LEASE_MS": 50_000, "WATCH_MS": 1_000}
T = TypeVar("T")


class Town:
    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.chance = Random(f"{seed} town")
        self.folder = folder
        self.clock = Clock()
        self.network = Network(Random(f"{seed} wire"))
        self.http = client(self.network)
        self.orders: list[tuple[str, str]] = []
        self.furniture = furnishing.choose(self.chance)
        self.server: Server
        self.beside: Server | None = None
        self.bank: Bank
        self.deaths: list[str] = []
        self.story: list[str] = []
        self.unexpected: list[str] = []
        self.passed_ms: Counter[str] = Counter()  # by pass: what was let through of the media
        self._servers = 0
        self._banks = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def now_s(self) -> int:
        return int(self.clock.wall_s())

    def tell(self, what: str) -> None:
        """For whoever reads a seed that failed."""
        self.story.append(f"{asyncio.get_running_loop().time():10.3f} {what}")

    # --- processes ----------------------------------------------------------------------------------------

    async def new_server(self, *, lets_in: bool = True, **settings: Any) -> None:
        """Where the one before died, or is to die now."""
        if self._servers:
            self.passed_ms += self.server.calls.passed_ms()
        self.server = await self._booted(lets_in=lets_in, **settings)

    async def _booted(self, **settings: Any) -> Server:
        self._servers += 1
        made = Server(
            self._servers,
            Random(f"{self.seed} server {self._servers}"),
            self.network,
            self.folder,
            connect=self.furniture.connect,
            earnings_days=self.furniture.earnings_days,
            **settings,
        )
        await made.boot()
        return made

    async def new_bank(self) -> None:
        if self._banks:
            self.tell(f"{self.bank.name} dies")
            self.bank.kill()
            await self.bank.bury()
        self._banks += 1
        self.bank = Bank(
            self._banks,
            Random(f"{self.seed} bank {self._banks}"),
            self.network,
            self.folder,
            f"{server.URL}/stripe/webhook",
        )
        await self.bank.boot()

    async def _watch(self, **settings: Any) -> None:
        """Whoever starts servers that have died."""
        while True:
            await asyncio.sleep(0.5)
            if not self.server.is_alive:
                self.deaths.append(str(self.server.died_after))
                self.tell(f"{self.server.name} died {self.server.died_after}")
                await self.server.bury()
                await asyncio.sleep(self.chance.choice([0.5, 3, 40]))
                await self.new_server(**settings)

    async def _stand_beside(self, **settings: Any) -> None:
        """A second server on the same database, now and then: as while one takes over from the other."""
        chance = Random(f"{self.seed} beside")
        while True:
            await asyncio.sleep(chance.choice([5, 60, 200]) * chance.random())
            self.beside = await self._booted(has_rooms=False, **settings)
            self.tell(f"{self.beside.name} stands beside {self.server.name}")
            for _ in range(chance.choice([30, 200, 600])):
                await asyncio.sleep(0.5)
                if not self.beside.is_alive:
                    break
            await self._bury_beside()

    async def _bury_beside(self) -> None:
        if self.beside is None:
            return
        self.tell(f"{self.beside.name} died {self.beside.died_after}")
        self.beside.kill()
        await self.beside.bury()
        self.beside = None

    def fault(self, target: str, kind: str, **values: Any) -> None:
        self.tell(f"fault {kind} at {target} {values}")
        self.bank.sandbox.faults.api.append(Switch(target=target, kind=kind, **values))

    def event_fault(self, kind: str, **values: Any) -> None:
        self.tell(f"the next event: {kind}")
        self.bank.sandbox.faults.events.append(Switch(target="*", kind=kind, **values))

    # --- what people do that no route is for ----------------------------------------------------------------

    async def within(self, at: Server, work: Coroutine[Any, Any, T]) -> T | None:
        """Done in that server's name; None when it died over it."""
        if not at.is_alive:
            work.close()
            return None
        task = at.start(work)
        await asyncio.wait({task})
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or isinstance(error, DeadError):
            return None
        if error is not None:
            self.unexpected.append("".join(traceback.format_exception(error)))
            return None
        return task.result()

    async def at_bank(self, kind: str) -> list[dict[str, Any]]:
        return await self.bank.ask(lambda tx: all_of(tx, kind))

    # --- one life -----------------------------------------------------------------------------------------

    async def live(self) -> None:
        await self.new_bank()
        await self.bank.ask(lambda tx: tax.set_rate(tx, self.furniture.tax_percent))
        day = {"sweep_every_s": 40.0, "reservation_s": self.chance.choice([60, 600])}
        await self.new_server(**day)
        await self.server.inside(self.server.db.write(lambda tx: furnishing.furnish(tx, self.furniture)))
        self._tasks = [asyncio.create_task(one.live()) for one in self._people()]
        self._tasks.append(asyncio.create_task(self._watch(**day)))
        if self.chance.random() < TWO_SERVERS:
            self._tasks.append(asyncio.create_task(self._stand_beside(**day)))
        await asyncio.sleep(self.chance.choice(DAY_S))
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.result()
        await self._bury_beside()
        await self._night()

    def _people(self) -> list[people.Person]:
        """Who has anything to do here."""
        kinds = (givers.Operator, people.BankCustomers, people.Misfortune)
        found: list[people.Person] = [kind(self, kind.__name__) for kind in kinds]
        found += [hosts.Host(self, room) for room in self.furniture.rooms]
        found += [givers.Desk(self, room) for room in self.furniture.rooms]
        found += [payers.Payer(self, f"payer {n}") for n in range(self.chance.randrange(2, 6))]
        if self.furniture.rooms_of("wallet"):
            found += [spenders.Spender(self, n) for n in range(self.chance.choice([1, 2, 3]))]
            found.append(spenders.Treasurer(self, "treasurer"))
        if self.furniture.rooms_of("subscription"):
            found += [subscribers.Subscriber(self, n) for n in range(self.chance.choice([1, 2]))]
        if self.furniture.connect:
            found += [payees.Payee(self, n) for n in range(2)]
            found.append(payees.Accounts(self, "accounts"))
        return found

    def meanwhile(self, task: asyncio.Task[None]) -> None:
        """What somebody goes on with beside other things."""
        self._tasks.append(task)

    async def _night(self) -> None:
        """No more misfortune; who is inside leaves, and what is on its way arrives: most of it soon, some when the bank has
        made money available, or when what failed is tried again."""
        self.bank.sandbox.faults.reset()
        if self.chance.random() < BAD_EVENINGS:
            await self._bad_evening()
        wrong: list[str] = []
        for look_s, looks in NIGHTS:
            wrong = await self._rests(look_s, looks)
            if not wrong:
                break
        wrong += await oracle.overcounted(self.server.db, self.passed_ms)
        wrong += [f"nobody expected: {what}" for what in self.unexpected]
        self.story += await oracle.summary(self.server.db)
        if wrong:
            raise oracle.BrokenError("\n".join(wrong))

    async def _bad_evening(self) -> None:
        """Cards are gone: what was given back comes back, and again when it is asked for again an hour later. Banks decide
        about payments, and think better of it."""
        await self._next_server(300)
        customers = people.BankCustomers(self, "evening customers")
        for _ in range(self.chance.choice([1, 2, 4])):
            await asyncio.sleep(AN_HOUR_AND_A_BIT_S)
            for _ in range(self.chance.choice([1, 3, 9])):
                await customers.regrets()

    async def _next_server(self, look_s: int) -> None:
        """One that lets nobody in and looks at everything so often."""
        self.server.kill()
        await self.server.bury()
        await self.new_server(lets_in=False, sweep_every_s=float(look_s), catch_up_every_s=look_s)

    async def _rests(self, look_s: int, looks: int) -> list[str]:
        """What is wrong when everything has come to rest, or when that took too long."""
        await self._next_server(look_s)
        wrong: list[str] = []
        for looked in range(looks):
            await asyncio.sleep(look_s)
            if looked < LOOKS_MIN or (wrong := await oracle.unfinished(self.server.db, self.bank)):
                continue
            wrong = await oracle.at_rest(self.server.db, self.bank)
            if not wrong:
                break
        self.tell(f"after looks of {look_s} s: {wrong}")
        return wrong

    async def close(self) -> None:
        for one in (getattr(self, "server", None), self.beside, getattr(self, "bank", None)):
            if one is not None:
                one.kill()
                await one.bury()
        await self.http.close()


@cache
def _place() -> tempfile.TemporaryDirectory[str]:
    """Where one town after the other lives; gone with the interpreter."""
    return tempfile.TemporaryDirectory(prefix="tollroom-town-")


@cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        engine = create_engine(f"sqlite:///{path}")
        metadata.create_all(engine)
        engine.dispose()
        return path.read_bytes()


class _Ears:
    """Hears what servers log: an exception that nobody expected is a fault, though the server goes on."""

    def __init__(self, town: Town) -> None:
        self._town = town

    def __call__(self, _logger: Any, method: str, event: dict[str, Any]) -> Any:
        error = sys.exc_info()[1]
        if method == "exception" and not isinstance(error, asyncio.CancelledError):
            self._town.unexpected.append(
                f"{event['event']}: {error!r}\n{''.join(traceback.format_exception(error))}"
            )
        self._town.tell(f"log: {' '.join(f'{name}={value}' for name, value in event.items())}"[:300])
        raise structlog.DropEvent


def run_seed(seed: int) -> Town:
    """Raises AssertionError when a rule is broken."""
    gc.collect()
    gc.freeze()  # what every town shares is looked through once
    gc.disable()  # a tenth of the time, and a town is small
    folder = Path(_place().name)
    for left in folder.iterdir():
        left.unlink()
    (folder / "tollroom.db").write_bytes(_empty_database())
    try:
        with patch.multiple(heartbeat, **BEATS), patch.object(runner, "POLL_MS", 1_000):
            return run(_live(seed, folder))
    finally:
        gc.enable()


async def _live(seed: int, folder: Path) -> Town:
    town = Town(seed, folder)
    asyncio.get_running_loop().set_exception_handler(lambda _, about: town.tell(f"loop: {about}"[:300]))
    logging.getLogger("signaling.payments.sandbox").setLevel(logging.CRITICAL)
    structlog.configure(processors=[_Ears(town)], cache_logger_on_first_use=False)
    try:
        await town.live()
    except AssertionError as error:
        error.add_note(
            "\n".join(["What happened:", *town.story[-STORY_LINES:], "What is wrong:", str(error)])
        )
        raise
    finally:
        structlog.reset_defaults()
        await town.close()
    return town
