"""What a town begins with: its rooms and who owns them, the people who can sign in, rates, codes and packages of credits.

Not every town has everything: what is there is chosen by its dice, so that a seed stays about as much as one can read.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from metering.price import Discount
from metering.promotions import Promotion
from signaling.ids import secret_hash
from signaling.stores import promotions, rates, rooms
from signaling.stores.database import Transaction
from signaling.stores.rates import BooksOf
from signaling.stores.schema import users

from .bank import ACCOUNT
from .server import host_key

Json = dict[str, Any]
BOOKS = BooksOf("sandbox", ACCOUNT)
BEFORE = "2026-01-01T00:00:00.000Z"

TARIFFS: tuple[Json, ...] = (
    {"kind": "per_minute", "rate_minor_per_min": 100, "currency": "eur", "presets_s": [120, 300, 900]},
    {"kind": "per_minute", "rate_minor_per_min": 37, "currency": "usd", "presets_s": [600, 1200]},
    {"kind": "per_minute", "rate_minor_per_min": 100, "currency": "eur", "presets_s": [120, 600],
     "free_seconds": 120},
    {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": 600},
    {"kind": "entrance", "price_minor": 700, "currency": "usd", "seconds": 900, "free_seconds": 180},
    {"kind": "entrance", "price_minor": 2_000, "currency": "jpy", "seconds": None},
    {"kind": "entrance", "price_minor": 1_230, "currency": "kwd", "seconds": 300},
    {"kind": "metered", "rate_minor_per_min": 100, "currency": "eur", "window_s": 300},
    {"kind": "metered", "rate_minor_per_min": 33, "currency": "usd", "window_s": 600, "max_seconds": 1500},
    {"kind": "metered", "rate_minor_per_min": 45, "currency": "jpy", "window_s": 300},
    {"kind": "free", "currency": "eur", "seconds": 300},
)  # fmt: skip
WALLET_TARIFFS: tuple[Json, ...] = (
    {"kind": "wallet", "rate_minor_per_min": 100, "currency": "eur"},
    {"kind": "wallet", "rate_minor_per_min": 37, "currency": "eur", "max_seconds": 900},
    {"kind": "wallet", "rate_minor_per_min": 33, "currency": "usd"},
    {"kind": "wallet", "rate_minor_per_min": 45, "currency": "jpy"},
)
SUBSCRIPTION_TARIFFS: tuple[Json, ...] = (
    {"kind": "subscription", "price_minor": 900, "currency": "eur", "interval": "month"},
    {"kind": "subscription", "price_minor": 1_990, "currency": "usd", "interval": "year"},
    {"kind": "subscription", "price_minor": 450, "currency": "eur", "interval": "month", "trial_days": 3},
)
FEES: tuple[Json, ...] = (
    {},
    {"fee_percent_bp": 1000},
    {"currency": "eur", "fee_percent_bp": 250, "fee_fixed_minor": 25, "fee_on_top": True},
)
TAXES = (0, 7, 22, 100)  # percent, within the price
# Given more than is paid, given less, and as much.
PACKAGES: tuple[Json, ...] = tuple(
    {"price_minor": price, "credit_minor": credit, "currency": code}
    for code, step in (("eur", 1), ("usd", 1), ("jpy", 1))
    for price, credit in ((300 * step, 300 * step), (500 * step, 600 * step), (1_000 * step, 930 * step))
)


@dataclass(slots=True)
class Furniture:
    """`people`, `hosts`: ids of those who can sign in; `connect`: hosts are paid out, `earnings_days` after a sale;
    `figures`: the rates for all rooms; `taxed`: rooms whose prices hold a tax of `tax_percent`."""

    rooms: list[Json] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    connect: bool = False
    earnings_days: int = 15
    figures: Json = field(default_factory=dict)
    taxed: list[str] = field(default_factory=list)
    tax_percent: int = 0

    def rooms_of(self, *kinds: str) -> list[Json]:
        return [room for room in self.rooms if room["tariff"]["kind"] in kinds]


def choose(chance: Random) -> Furniture:
    made = Furniture(
        people=[f"user_{n}" for n in range(4)],
        hosts=[f"user_host{n}" for n in range(2)],
        connect=chance.random() < 0.5,
        earnings_days=chance.choice([0, 0, 1]),
        figures=dict(chance.choice(FEES)),
        tax_percent=chance.choice(TAXES),
    )
    tariffs = chance.sample(TARIFFS, chance.choice([0, 1, 2, 3, 4]))
    tariffs += chance.sample(WALLET_TARIFFS, chance.choice([0, 0, 1, 2]))
    tariffs += chance.sample(SUBSCRIPTION_TARIFFS, chance.choice([0, 0, 1]))
    if not tariffs:
        tariffs = [chance.choice(TARIFFS)]
    if chance.random() < 0.7:
        made.figures["packages"] = list(PACKAGES)
    for number, tariff in enumerate(tariffs):
        room = _room(number, tariff, chance, made.hosts if made.connect else [])
        made.rooms.append(room)
        if chance.random() < 0.4:
            made.taxed.append(room["id"])
    return made


def _room(number: int, tariff: Json, chance: Random, hosts: list[str]) -> Json:
    room_id = f"room_{number}"
    return {
        "id": room_id, "slug": f"slug{number}", "mode": BOOKS.mode, "account": BOOKS.account,
        "title": "A talk", "description": "An hour with somebody who knows.", "host_name": "Ada",
        "host_key_hash": secret_hash(host_key(room_id)), "tariff": tariff, "currency": tariff["currency"],
        "privacy": "conference", "capacity": chance.choice([1, 3, 20]), "state": "open", "locked": False, "epoch": 0,
        "live": False, "away_since_s": None, "created_at": BEFORE, "owner_id": chance.choice([*hosts, None]),
    }  # fmt: skip


async def furnish(tx: Transaction, made: Furniture) -> None:
    for one in (*made.people, *made.hosts):
        await tx.execute(users.insert().values(_person(one, "host" if one in made.hosts else "user")))
    for room in made.rooms:
        await rooms.insert_room(tx, room)
    if made.figures:
        await rates.set_rates(tx, BOOKS, rates.RatesRow("default", "", made.figures, BEFORE))
    for room_id in made.taxed:
        await rates.set_rates(tx, BOOKS, taxed(room_id, is_taxed=True))
    for code, percent, uses in (("HALF", 50, None), ("GIFT", 100, None), ("LAST", 30, 1)):
        promotion = Promotion(f"promo_{code}", code, Discount(percent=percent), uses_left=uses)
        await promotions.insert_promotion(tx, BOOKS, promotion, BEFORE)


def taxed(room_id: str, *, is_taxed: bool) -> rates.RatesRow:
    """Whether the tax of what is sold there is computed."""
    return rates.RatesRow("room", room_id, {"automatic_tax": is_taxed}, BEFORE)


def _person(user_id: str, role: str) -> Json:
    email = f"{user_id}@example.org"
    return {"id": user_id, "email": email, "name": user_id, "role": role, "created_at": BEFORE}
