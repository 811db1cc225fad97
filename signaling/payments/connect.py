"""Hosts as recipients of the payment service: their account there, the way through its forms, and what it says of them.

Accounts v2 with a recipient configuration. The account is made once per person and set of books; a link into the forms
works once, so each is made anew, for who is signed in. What the forms came to is fetched, never taken from an event.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import structlog

from signaling.errors import ApiError
from signaling.notices import Notice
from signaling.payments import attempts
from signaling.payments.attempts import Errand
from signaling.payments.context import Context
from signaling.payments.port import ConnectedAccount, OutcomeUnknownError, RefusedByServiceError
from signaling.stores import payouts as store
from signaling.stores import refunds as calls
from signaling.stores.database import Transaction
from signaling.stores.earnings import Now

log = structlog.get_logger()

ACCOUNT_OPERATION = "v2.core.accounts.create"
LINK_OPERATION = "v2.core.account_links.create"
EARNINGS_PATH = "/me/earnings"
NONE = "none"
STATUS_CHARS_MAX = 24
REQUIREMENTS_MAX = 20

State = Literal["off", "none", "pending", "active", "restricted"]


@dataclass(frozen=True, slots=True)
class Host:
    """Who wants to be paid: a signed-in person."""

    user_id: str
    email: str
    name: str


def state_of(ctx: Context, row: store.Connected | None) -> State:
    """In the words of the page: what stands between this host and their money."""
    if not ctx.settings.connect:
        return "off"
    if row is None or row.connected_id is None:
        return "none"
    if row.can_receive:
        return "active"
    return "pending" if row.transfers_status in {"pending", NONE} else "restricted"


async def own_row(ctx: Context, user_id: str) -> store.Connected | None:
    async with ctx.db.read() as tx:
        return await store.connected_of(tx, user_id, ctx.settings.mode, ctx.settings.account)


# --- onboarding -------------------------------------------------------------------------------------------


async def onboard(ctx: Context, host: Host, country: str) -> str:
    """A fresh link into the service's forms. `country`: ISO 3166-1, needed the first time.

    Raises ApiError 409 `connect_off`, 422 `bad_country`, 502 `payment_refused`, 503 `payment_pending`.
    """
    if not ctx.settings.connect:
        raise ApiError(409, "connect_off", "this server does not pay out through connected accounts")
    try:
        connected_id = await _account(ctx, host, country)
        return await _link(ctx, host.user_id, connected_id)
    except RefusedByServiceError as error:
        log.warning("onboarding_refused", user_id=host.user_id, error=str(error))
        raise ApiError(502, "payment_refused", "the payment service refused this account") from None
    except OutcomeUnknownError as error:
        log.warning("onboarding_unknown", user_id=host.user_id, error=str(error))
        raise ApiError(503, "payment_pending", "the payment service does not answer: try again") from None


async def _account(ctx: Context, host: Host, country: str) -> str:
    """The host's account, made where there is none. The key stays the same until it is known to have been refused, so
    that asking again after a lost answer finds the account of before."""
    now_s, now_text = ctx.now_s(), ctx.now_text()
    mode, account = ctx.settings.mode, ctx.settings.account
    subject = _subject(ctx, host.user_id)

    async def work(tx: Transaction) -> store.Connected | calls.StripeCall:
        fresh = store.Connected(host.user_id, mode, account, None, NONE, [], now_text)
        await store.insert_connected(tx, fresh)
        row = await store.connected_of(tx, host.user_id, mode, account)
        assert row is not None, "inserted above"
        if row.connected_id is not None:
            return row
        made = await calls.calls_of(tx, subject, ACCOUNT_OPERATION)
        if made and made[-1].state not in {"refused", "done"}:
            return made[-1]
        params, key = account_params(host, country), f"account:{mode}:{host.user_id}"
        return await attempts.begin(tx, ACCOUNT_OPERATION, subject, params, first_key=key, now_s=now_s)

    found = await ctx.db.write(work)
    if isinstance(found, store.Connected):
        assert found.connected_id is not None, "checked in the transaction"
        return found.connected_id
    ctx.step("account_prepared")
    return (await attempts.carry_out(ctx, _Opening(ctx, host.user_id), found)).account_id


def _subject(ctx: Context, user_id: str) -> str:
    """Of the calls about a host's account, which each mode has one of."""
    return f"connect:{ctx.settings.mode}:{user_id}"


def account_params(host: Host, country: str) -> dict[str, Any]:
    """The exact parameters of the account of a host: a recipient of transfers, losses and fees the platform's."""
    if len(country) != 2 or not country.isascii() or not country.isalpha():  # noqa: PLR2004 - ISO 3166-1 alpha-2
        raise ApiError(422, "bad_country", "name the country by its two letters", field="country")
    transfers = {"stripe_balance": {"stripe_transfers": {"requested": True}}}
    return {
        "contact_email": host.email,
        "display_name": host.name or host.email,
        "dashboard": "express",
        "identity": {"country": country.lower()},
        "configuration": {"recipient": {"capabilities": transfers}},
        "defaults": {
            "responsibilities": {"fees_collector": "application", "losses_collector": "application"}
        },
        "metadata": {"reference": host.user_id},
    }


@dataclass(frozen=True, slots=True)
class _Opening(Errand[ConnectedAccount]):
    """The account of a host as an errand. Accounts cannot be looked for by our reference: what the same key answers is
    all there is to go by."""

    operation: ClassVar[str] = ACCOUNT_OPERATION
    ctx: Context
    user_id: str

    @property
    def subject_id(self) -> str:
        return _subject(self.ctx, self.user_id)

    async def make(self, params: dict[str, Any], key: str) -> ConnectedAccount:
        return await self.ctx.service.create_account(params, key)

    async def find(self, _first: calls.StripeCall) -> Sequence[ConnectedAccount]:
        return ()

    def id_of(self, made: ConnectedAccount) -> str:
        return made.account_id

    async def done(self, tx: Transaction, made: ConnectedAccount, now: Now) -> Sequence[Notice]:
        await _store(tx, self.ctx, self.user_id, made, now.text)
        return ()

    async def refused(self, _tx: Transaction, _error: RefusedByServiceError, _now: Now) -> Sequence[Notice]:
        """The host asks again, with what is then known of them."""
        return ()


async def _link(ctx: Context, user_id: str, connected_id: str) -> str:
    """A link gives its holder the forms: it is stored nowhere, and each one has a key of its own."""
    key, now_s = ctx.new_id("link"), ctx.now_s()
    onboarding = {
        "refresh_url": ctx.settings.own_page(f"{EARNINGS_PATH}?onboarding=again"),
        "return_url": ctx.settings.own_page(f"{EARNINGS_PATH}?onboarding=back"),
    }
    params = {
        "account": connected_id,
        "use_case": {"type": "account_onboarding", "account_onboarding": onboarding},
    }

    async def work(tx: Transaction) -> calls.StripeCall:
        return await calls.begin_call(
            tx,
            key=key,
            operation=LINK_OPERATION,
            subject_id=_subject(ctx, user_id),
            params=params,
            now_s=now_s,
            retry_at_s=now_s,
        )

    call = await ctx.db.write(work)
    try:
        url = await ctx.service.create_account_link(call.params, call.idempotency_key)
    except (RefusedByServiceError, OutcomeUnknownError) as error:
        await _close_call(
            ctx, call, "refused", note=str(error)
        )  # a lost link is worth nothing: the next one is new
        raise
    await _close_call(ctx, call, "done", result_id=connected_id)
    return url


# --- what the service says of an account ------------------------------------------------------------------


async def refresh(ctx: Context, user_id: str) -> store.Connected | None:
    """Asks the service now. Raises OutcomeUnknownError."""
    row = await own_row(ctx, user_id)
    if row is None or row.connected_id is None:
        return row
    try:
        fetched = await ctx.service.fetch_account(row.connected_id)
    except RefusedByServiceError as error:
        raise OutcomeUnknownError(str(error)) from error
    now_text = ctx.now_text()

    async def work(tx: Transaction) -> Sequence[Notice]:
        await _store(tx, ctx, user_id, fetched, now_text)
        return ()

    await ctx.write(work)
    return await own_row(ctx, user_id)


async def refresh_account(ctx: Context, connected_id: str) -> bool:
    """After an event about an account; False when it is none of ours. Raises OutcomeUnknownError."""
    async with ctx.db.read() as tx:
        row = await store.find_connected(tx, connected_id)
    if row is None or not ctx.settings.shelf.holds(row.mode, row.account):
        return False
    await refresh(ctx, row.user_id)
    return True


async def look_after_accounts(ctx: Context) -> None:
    """Accounts that are not ready, in case their events were lost. Failures wait for the next round."""
    if not ctx.settings.connect:
        return
    async with ctx.db.read() as tx:
        waiting = await store.unready(tx, ctx.settings.mode, ctx.settings.account)
    for row in waiting:
        try:
            await refresh(ctx, row.user_id)
        except OutcomeUnknownError as error:
            log.warning("account_not_fetched", user_id=row.user_id, error=str(error))


async def _store(
    tx: Transaction, ctx: Context, user_id: str, fetched: ConnectedAccount, now_text: str
) -> None:
    row = await store.connected_of(tx, user_id, ctx.settings.mode, ctx.settings.account)
    assert row is not None, "made before its account"
    values = {
        "connected_id": fetched.account_id,
        "transfers_status": fetched.transfers_status[:STATUS_CHARS_MAX],
        "requirements": list(fetched.requirements_due[:REQUIREMENTS_MAX]),
        "updated_at": now_text,
    }
    await store.set_connected(tx, row, **values)


async def _close_call(ctx: Context, call: calls.StripeCall, state: calls.CallState, **values: Any) -> None:
    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, state, **values)
        return ()

    await ctx.write(work)
