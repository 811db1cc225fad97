"""Hosts who are paid out, in the payment world: the part of the payment service that holds their accounts, by hand."""

from dataclasses import dataclass, field, replace
from typing import Any

from signaling.payments import connect
from signaling.payments.port import (
    ConnectedAccount,
    OutcomeUnknownError,
    RefusedByServiceError,
    ReversalFact,
    TransferFact,
)
from signaling.stores import payouts as store
from signaling.stores.payouts import Connected
from signaling.stores.schema import users

from .world import ACCOUNT, World

ANA = "user_ana"
DAYS_15 = 15 * 86_400


@dataclass
class Bank:
    """Accounts, transfers and reversals, each kept by its idempotency key; everything else is the sandbox's.

    `fails`: what the next calls that create something meet; an OutcomeUnknownError of a lost answer comes after the deed,
    one that is `answered` instead of it.
    """

    rest: Any
    status: str = "active"
    transfers: dict[str, TransferFact] = field(default_factory=dict)
    sent_params: list[dict[str, Any]] = field(default_factory=list)
    reversals: dict[str, ReversalFact] = field(default_factory=dict)
    fails: list[Exception] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rest, name)

    def _fail(self, *, before: bool) -> None:
        if not self.fails:
            return
        error = self.fails[0]
        comes_before = isinstance(error, RefusedByServiceError) or getattr(error, "answered", False)
        if comes_before is before:
            raise self.fails.pop(0)

    async def fetch_account(self, account_id: str) -> ConnectedAccount:
        return ConnectedAccount(account_id, ANA, self.status, (), "it", "ana@example.org")

    async def create_transfer(self, params: dict[str, Any], key: str) -> TransferFact:
        self._fail(before=True)
        if key not in self.transfers:
            self.sent_params.append(params)
            self.transfers[key] = TransferFact(
                transfer_id=f"tr_{len(self.transfers) + 1}",
                reference=params["metadata"]["reference"],
                amount_minor=params["amount"],
                reversed_minor=0,
                currency=params["currency"],
                destination=params["destination"],
                created_s=0,
            )
        self._fail(before=False)
        return self.transfers[key]

    async def find_transfers(
        self, reference: str, _since_s: int, _group: str | None = None
    ) -> list[TransferFact]:
        return [one for one in self.transfers.values() if one.reference == reference]

    async def reverse_transfer(self, transfer_id: str, params: dict[str, Any], key: str) -> ReversalFact:
        self._fail(before=True)
        if key not in self.reversals:
            self.reversals[key] = ReversalFact(
                f"trr_{len(self.reversals) + 1}",
                transfer_id,
                params["amount"],
                params.get("metadata", {}).get("reference"),
            )
            self._count(transfer_id, params["amount"])
        self._fail(before=False)
        return self.reversals[key]

    def _count(self, transfer_id: str, amount_minor: int) -> None:
        for key, one in self.transfers.items():
            if one.transfer_id == transfer_id:
                reversed_minor = one.reversed_minor + amount_minor
                assert reversed_minor <= one.amount_minor, "more is asked back than was sent"
                self.transfers[key] = replace(one, reversed_minor=reversed_minor)

    async def list_reversals(self, transfer_id: str) -> tuple[ReversalFact, ...]:
        return tuple(one for one in self.reversals.values() if one.transfer_id == transfer_id)

    @property
    def sent_minor(self) -> int:
        """What the host has of us."""
        return sum(one.amount_minor - one.reversed_minor for one in self.transfers.values())


def lost() -> OutcomeUnknownError:
    return OutcomeUnknownError("the answer was lost")


def broken() -> OutcomeUnknownError:
    return OutcomeUnknownError("500", answered=True)


async def add_host(world: World, bank: Bank | None = None, *, is_on: bool = True, **room: Any) -> Bank:
    """Ana's room, paid for by whole; her account at the service is ready."""
    bank = bank or Bank(None)
    world.wrap = lambda service: _around(bank, service)
    await world.reboot(connect=is_on)
    user = {"id": ANA, "email": "ana@example.org", "name": "Ana", "role": "host", "created_at": "2026-01-01"}
    row = Connected(ANA, "sandbox", ACCOUNT, "acct_ana", bank.status, [], "2026-01-01")

    async def work(tx: Any) -> None:
        await tx.execute(users.insert().values(user))
        await store.insert_connected(tx, row)

    await world.db.write(work)
    await world.add_room(**{"owner_id": ANA, "capacity": 50} | room)
    return bank


def _around(bank: Bank, service: Any) -> Bank:
    bank.rest = service
    return bank


async def account_becomes(world: World, bank: Bank, status: str) -> None:
    """The service tells of it."""
    bank.status = status
    await connect.refresh_account(world.payments.ctx, "acct_ana")
