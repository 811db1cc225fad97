"""A host gets an account at the payment service: made once whatever happens to the answer, its state always fetched."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from signaling.errors import ApiError
from signaling.notices import Notices
from signaling.payments import connect, sweeper
from signaling.payments.connect import Host, onboard, own_row, refresh, refresh_account, state_of
from signaling.payments.context import Context
from signaling.payments.port import ConnectedAccount, OutcomeUnknownError, RefusedByServiceError
from signaling.payments.settings import PaymentsSettings
from signaling.stores.database import Database
from signaling.stores.schema import metadata, stripe_calls, users

from .world import InventedClock

ANA = Host("user_ana", "ana@example.org", "Ana")


class Service:
    """Keeps accounts by idempotency key, as the real one does; `fails` with these, one call after the other."""

    def __init__(self) -> None:
        self.accounts: dict[str, str] = {}
        self.links: list[dict[str, Any]] = []
        self.status = "pending"
        self.requirements: tuple[str, ...] = ("bank account",)
        self.fails: list[Exception] = []
        self.dies = False

    async def create_account(self, params: dict[str, Any], key: str) -> ConnectedAccount:
        if self.fails and isinstance(self.fails[0], RefusedByServiceError):
            raise self.fails.pop(0)
        account_id = self.accounts.setdefault(key, f"acct_{len(self.accounts) + 1}")
        if self.fails:
            raise self.fails.pop(0)
        return self._account(account_id, params["metadata"]["reference"])

    async def fetch_account(self, account_id: str) -> ConnectedAccount:
        return self._account(account_id, ANA.user_id)

    async def create_account_link(self, params: dict[str, Any], key: str) -> str:
        self.links.append(params | {"key": key})
        if self.dies:
            raise asyncio.CancelledError
        return f"https://forms.example/{len(self.links)}"

    def _account(self, account_id: str, reference: str) -> ConnectedAccount:
        return ConnectedAccount(account_id, reference, self.status, self.requirements, "it", ANA.email)


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.fixture
async def ctx(tmp_path: Path, service: Service) -> AsyncIterator[Context]:
    db = Database(f"sqlite:///{tmp_path}/tollroom.db")
    await db.create_schema()
    ana = {
        "id": ANA.user_id,
        "email": ANA.email,
        "name": ANA.name,
        "role": "host",
        "created_at": "2026-01-01",
    }
    await db.write(lambda tx: tx.execute(users.insert().values(ana)))
    settings = PaymentsSettings("sandbox", "sandbox", "http://localhost:8080", connect=True)
    yield Context(db, InventedClock(), os.urandom, Notices(), service, settings)  # type: ignore[arg-type]
    await db.close()


async def test_each_visit_gets_a_fresh_link_to_the_same_account(ctx: Context, service: Service) -> None:
    assert await onboard(ctx, ANA, "IT") == "https://forms.example/1"
    assert await onboard(ctx, ANA, "IT") == "https://forms.example/2"
    assert list(service.accounts.values()) == ["acct_1"]
    assert [link["account"] for link in service.links] == ["acct_1", "acct_1"]
    assert len({link["key"] for link in service.links}) == 2
    forms = service.links[0]["use_case"]["account_onboarding"]
    assert forms["refresh_url"] == "http://localhost:8080/me/earnings?onboarding=again"
    assert state_of(ctx, await own_row(ctx, ANA.user_id)) == "pending"


async def test_a_lost_answer_makes_no_second_account(ctx: Context, service: Service) -> None:
    service.fails = [OutcomeUnknownError("cut off")]
    with pytest.raises(ApiError) as caught:
        await onboard(ctx, ANA, "IT")
    assert (caught.value.status, caught.value.code) == (503, "payment_pending")
    await onboard(ctx, ANA, "IT")
    assert list(service.accounts.values()) == ["acct_1"]


async def test_after_a_refusal_the_next_try_has_a_new_key(ctx: Context, service: Service) -> None:
    service.fails = [RefusedByServiceError("country_unsupported", "not there")]
    with pytest.raises(ApiError) as caught:
        await onboard(ctx, ANA, "XX")
    assert caught.value.status == 502
    await onboard(ctx, ANA, "IT")
    assert list(service.accounts) == [f"account:sandbox:{ANA.user_id}:2"]


async def test_what_the_forms_came_to_is_fetched(ctx: Context, service: Service) -> None:
    await onboard(ctx, ANA, "IT")
    service.status, service.requirements = "active", ()
    assert await refresh_account(ctx, "acct_1")
    assert state_of(ctx, await own_row(ctx, ANA.user_id)) == "active"
    service.status, service.requirements = "restricted", ("identity document",)
    row = await refresh(ctx, ANA.user_id)
    assert row is not None
    assert (state_of(ctx, row), row.requirements) == ("restricted", ["identity document"])
    service.status = "active"
    await connect.look_after_accounts(ctx)
    assert state_of(ctx, await own_row(ctx, ANA.user_id)) == "active"
    assert not await refresh_account(ctx, "acct_of_somebody")


@pytest.mark.parametrize("country", ["", "I", "ITA", "1T"])
async def test_a_country_is_two_letters(ctx: Context, service: Service, country: str) -> None:
    with pytest.raises(ApiError) as caught:
        await onboard(ctx, ANA, country)
    assert caught.value.code == "bad_country"
    assert service.accounts == {}


async def test_a_link_that_nobody_waits_for_any_more_is_no_open_call(ctx: Context, service: Service) -> None:
    service.dies = True
    with pytest.raises(asyncio.CancelledError):
        await onboard(ctx, ANA, "IT")
    assert await states_of_links(ctx) == ["pending"]
    await sweeper.forget_waiting(ctx)
    assert await states_of_links(ctx) == ["refused"]


async def states_of_links(ctx: Context) -> list[str]:
    query = select(stripe_calls.c.state).where(stripe_calls.c.operation == connect.LINK_OPERATION)
    async with ctx.db.read() as tx:
        return list((await tx.execute(query)).scalars())


async def test_no_link_is_stored(ctx: Context) -> None:
    url = await onboard(ctx, ANA, "IT")
    for table in metadata.sorted_tables:
        async with ctx.db.read() as tx:
            rows = (await tx.execute(table.select())).all()
        assert url not in str(rows)
