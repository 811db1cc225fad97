"""Who a signed-in person is at the payment service, and which of their cards it keeps."""

from collections.abc import Sequence

import structlog

from signaling.notices import Notice
from signaling.payments.context import Context
from signaling.payments.port import CardFact, RefusedByServiceError
from signaling.stores import cards
from signaling.stores import refunds as calls
from signaling.stores.database import Transaction

log = structlog.get_logger()

OPERATION = "customers.create"
UNKNOWN_OBJECT = "resource_missing"


async def ensure_customer(ctx: Context, user_id: str) -> str:
    """The person's customer id, made at the first need. Neither name nor address goes there: a payment carries what
    it needs. Raises OutcomeUnknownError (asking again repeats the same call), RefusedByServiceError.
    """
    mode, account, now_s = ctx.settings.mode, ctx.settings.account, ctx.now_s()

    async with ctx.db.read() as tx:
        known = await cards.customer_of(tx, user_id, mode, account)
    if known is not None:
        return known

    async def begin(tx: Transaction) -> calls.StripeCall:
        return await calls.begin_call(
            tx,
            key=f"customer:{mode}:{user_id}"[:128],
            operation=OPERATION,
            subject_id=user_id,
            params={"metadata": {"reference": user_id, "mode": mode}},
            now_s=now_s,
            retry_at_s=now_s,
        )

    started = await ctx.db.write(begin)
    ctx.step("customer_begun")
    customer_id = await ctx.service.create_customer(started.params, started.idempotency_key)
    ctx.step("customer_made")

    async def store(tx: Transaction) -> str:
        await calls.set_call(tx, started.idempotency_key, "done", result_id=customer_id)
        return await cards.put_customer(tx, user_id, mode, account, customer_id)

    return await ctx.db.write(store)


async def keep_card(
    tx: Transaction, user_id: str, books: tuple[str, str], fact: CardFact, now_text: str
) -> bool:
    """In the transaction that applies what the card did. False for a card that is no customer's, or not theirs:
    it cannot be charged again."""
    mode, account = books
    if fact.customer_id is None or fact.customer_id != await cards.customer_of(tx, user_id, mode, account):
        return False
    card = cards.Card(
        payment_method_id=fact.payment_method_id,
        user_id=user_id,
        mode=mode,
        account=account,
        fingerprint=(fact.fingerprint or fact.payment_method_id)[:64],
        brand=fact.brand[:32],
        last4=fact.last4[:4],
        exp_month=fact.exp_month,
        exp_year=fact.exp_year,
        created_at=now_text,
    )
    await cards.keep_card(tx, card)
    return True


async def forget_card(ctx: Context, payment_method_id: str) -> None:
    """Forgotten by us first, then by the service, which may have forgotten it already. Raises OutcomeUnknownError
    when the service did not answer: asking again is harmless."""

    async def work(tx: Transaction) -> Sequence[Notice]:
        await cards.forget_card(tx, payment_method_id)
        return ()

    await ctx.write(work)
    try:
        await ctx.service.detach_card(payment_method_id)
    except RefusedByServiceError as error:
        log.info("card_was_gone", code=error.code)
