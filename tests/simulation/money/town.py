"""One seed: a day of a town in which people pay, hosts come and go, banks take back, lines break and processes die; then
a night in which everything comes to rest, and the books must agree.
"""

import asyncio
import contextlib
import gc
import logging
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import structlog
from sqlalchemy import create_engine

from metering.price import Discount
from metering.promotions import Promotion
from signaling.payments.sandbox.faults import Switch
from signaling.stores import promotions, rates, rooms
from signaling.stores.database import Transaction
from signaling.stores.rates import BooksOf
from signaling.stores.schema import metadata
from signaling.stores.schema import rooms as rooms_table

from . import oracle, people, server
from .bank import ACCOUNT, Bank
from .machine import Clock, DeadError, run, without_threads
from .server import Server
from .stays import Stays
from .wire import Network, client

DAY_S = (300, 600, 1200)
NIGHT_S = 6 * 3600
LOOK_S = 300
LOOKS_MIN = 3  # what a server's death cost is given back ten minutes later
STORY_LINES = 150
BOOKS = BooksOf("sandbox", ACCOUNT)
BEFORE = "2026-01-01T00:00:00.000Z"
TARIFFS: tuple[dict[str, Any], ...] = (
    {"kind": "per_minute", "rate_minor_per_min": 100, "currency": "eur", "presets_s": [120, 300, 900]},
    {"kind": "per_minute", "rate_minor_per_min": 37, "currency": "usd", "presets_s": [600, 1200]},
    {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": 600},
    {"kind": "entrance", "price_minor": 2_000, "currency": "jpy", "seconds": None},
    {"kind": "entrance", "price_minor": 1_230, "currency": "kwd", "seconds": 300},
    {"kind": "metered", "rate_minor_per_min": 100, "currency": "eur", "window_s": 300},
    {"kind": "metered", "rate_minor_per_min": 33, "currency": "usd", "window_s": 600, "max_seconds": 1500},
    {"kind": "metered", "rate_minor_per_min": 45, "currency": "jpy", "window_s": 300},
    {"kind": "free", "currency": "eur", "seconds": 300},
)
FEES: tuple[dict[str, Any], ...] = (
    {},
    {"fee_percent_bp": 1000},
    {"currency": "eur", "fee_percent_bp": 250, "fee_fixed_minor": 25, "fee_on_top": True},
)


class Town:
    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.chance = Random(f"{seed} town")
        self.folder = folder
        self.clock = Clock()
        self.network = Network(Random(f"{seed} wire"))
        self.http = client(self.network)
        self.orders: list[tuple[str, str]] = []
        self.rooms: list[dict[str, Any]] = []
        self.server: Server
        self.stays: Stays
        self.bank: Bank
        self.deaths: list[str] = []
        self.story: list[str] = []
        self.unexpected: list[str] = []
        self._servers = 0
        self._banks = 0
        self._renewing: asyncio.Task[None] | None = None

    @property
    def now_s(self) -> int:
        return int(self.clock.wall_s())

    def tell(self, what: str) -> None:
        """For whoever reads a seed that failed."""
        self.story.append(f"{asyncio.get_running_loop().time():10.3f} {what}")

    # --- processes ----------------------------------------------------------------------------------------

    async def new_server(self, **settings: Any) -> None:
        """Where the one before died, or is to die now."""
        self._servers += 1
        made = Server(
            self._servers,
            Random(f"{self.seed} server {self._servers}"),
            self.network,
            self.folder,
            **settings,
        )
        await made.boot()
        stays = Stays(made)
        await stays.open()
        self.server, self.stays = made, stays

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

    def fault(self, target: str, kind: str, **values: Any) -> None:
        self.tell(f"fault {kind} at {target} {values}")
        self.bank.sandbox.faults.api.append(Switch(target=target, kind=kind, **values))

    def event_fault(self, kind: str, **values: Any) -> None:
        self.tell(f"the next event: {kind}")
        self.bank.sandbox.faults.events.append(Switch(target="*", kind=kind, **values))

    # --- what people do that no door is for ---------------------------------------------------------------

    async def stay(self, pass_id: str, seconds: float) -> None:
        """Over when it ends, or when the server under it dies."""
        at, stays = self.server, self.stays
        if at.is_alive:
            with contextlib.suppress(asyncio.CancelledError, DeadError):
                task = at.start(stays.stay(pass_id, lambda: seconds))
                await asyncio.wait({task})

    async def set_room(self, room_id: str, **values: Any) -> None:
        update = rooms_table.update().where(rooms_table.c.id == room_id, rooms_table.c.state == "open")
        at = self.server
        if at.is_alive:
            await asyncio.wait({at.start(at.db.write(lambda tx: tx.execute(update.values(values))))})

    async def at_bank(self, kind: str) -> list[dict[str, Any]]:
        return await self.bank.ask(lambda tx: oracle._all(tx, kind))

    # --- one life -----------------------------------------------------------------------------------------

    async def live(self) -> None:
        await self.new_bank()
        day = {"sweep_every_s": 40.0, "reservation_s": self.chance.choice([60, 600])}
        await self.new_server(**day)
        await self.server.inside(self.server.db.write(self._furnish))
        watching = asyncio.create_task(self._watch(**day))
        payers = [people.Payer(self, f"payer {n}") for n in range(self.chance.randrange(2, 6))]
        others = [kind(self, kind.__name__) for kind in (
            people.Host, people.Operator, people.BankCustomers, people.Misfortune)]  # fmt: skip
        tasks = [asyncio.create_task(one.live()) for one in (*payers, *others)]
        await asyncio.sleep(self.chance.choice(DAY_S))
        for task in (*tasks, watching):
            task.cancel()
        await asyncio.wait({*tasks, watching})
        for task in (*tasks, watching):
            if not task.cancelled():
                task.result()
        await self._night()

    async def _night(self) -> None:
        """No more misfortune; who is inside leaves, and what is on its way arrives."""
        self.server.kill()
        await self.server.bury()
        self.bank.sandbox.faults.reset()
        await self.new_server(sweep_every_s=300.0)
        wrong: list[str] = []
        for looked in range(NIGHT_S // LOOK_S):
            await asyncio.sleep(LOOK_S)
            if looked < LOOKS_MIN or await oracle.unfinished(self.server.db, self.bank):
                continue
            wrong = await oracle.at_rest(self.server.db, self.bank)
            if not wrong:
                break
        else:
            wrong = wrong or await oracle.at_rest(self.server.db, self.bank)
        wrong += [f"nobody expected: {what}" for what in self.unexpected]
        self.story += await oracle.summary(self.server.db)
        if wrong:
            raise oracle.BrokenError("\n".join(wrong))

    async def _furnish(self, tx: Transaction) -> None:
        tariffs = self.chance.sample(TARIFFS, self.chance.randrange(1, 5))
        for number, tariff in enumerate(tariffs):
            room = {
                "id": f"room_{number}", "slug": f"slug{number}", "mode": BOOKS.mode, "account": BOOKS.account,
                "title": "A talk", "description": "An hour with somebody who knows.", "host_name": "Ada",
                "host_key_hash": "0" * 64, "tariff": tariff, "currency": tariff["currency"],
                "privacy": "conference", "capacity": self.chance.choice([1, 3, 20]), "state": "open", "locked": False, "epoch": 0,
                "live": True, "away_since_s": None, "created_at": BEFORE,
            }  # fmt: skip
            self.rooms.append(room)
            await rooms.insert_room(tx, room)
        figures = self.chance.choice(FEES)
        if figures:
            await rates.set_rates(tx, BOOKS, rates.RatesRow("default", "", figures, BEFORE))
        for code, percent, uses in (("HALF", 50, None), ("GIFT", 100, None), ("LAST", 30, 1)):
            made = Promotion(f"promo_{code}", code, Discount(percent=percent), uses_left=uses)
            await promotions.insert_promotion(tx, BOOKS, made, BEFORE)

    async def close(self) -> None:
        for one in (getattr(self, "server", None), getattr(self, "bank", None)):
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
    without_threads()
    gc.collect()
    gc.disable()  # a tenth of the time, and a town is small
    folder = Path(_place().name)
    for left in folder.iterdir():
        left.unlink()
    (folder / "tollroom.db").write_bytes(_empty_database())
    try:
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
