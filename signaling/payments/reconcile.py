"""The Checkout Session of an order, which is asked for until it is known what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from signaling.payments import attempts, freeminutes, recurring, wording
from signaling.payments.context import Context
from signaling.payments.orderpayments import OrderPayment, room_of
from signaling.payments.port import Checkout
from signaling.payments.settings import PaymentsSettings
from signaling.stores import rates
from signaling.stores.database import Transaction
from signaling.stores.orders import Order
from signaling.stores.refunds import StripeCall

OPERATION = "checkout.sessions.create"
DESCRIPTION_MAX = 500
# The session that matters, when two came of one order.
_RANK = {"complete": 0, "open": 1, "expired": 2}


def checkout_params(
    settings: PaymentsSettings, order: Order, slug: str | None, now_s: int, *, taxed: bool = False
) -> dict[str, Any]:
    """The exact parameters of the Checkout Session of an order. No secret is among them. `slug` None: it is for no room.
    `taxed`: the service computes the tax that is included in the price."""
    metadata = {"order_id": order.id, "mode": order.mode}
    if order.room_id is not None:
        metadata["room_id"] = order.room_id
    params: dict[str, Any] = {
        "mode": "payment",
        "client_reference_id": order.id,
        "line_items": [{"quantity": 1, "price_data": _price_data(order, taxed=taxed)}],
        "payment_method_types": ["card"],
        "adaptive_pricing": {"enabled": False},
        "metadata": metadata,
        "payment_intent_data": {"metadata": metadata, "description": order.title} | _hold(order),
        "expires_at": now_s + settings.checkout_life_s,
    }
    params |= {"automatic_tax": {"enabled": True}} if taxed else {}
    if order.funding == "subscription":
        del params["payment_intent_data"]
        params |= recurring.checkout_params(order, metadata)
    if order.purpose == "setup":
        for name in ("payment_intent_data", "line_items", "adaptive_pricing"):
            del params[name]
        params |= freeminutes.checkout_params(order, metadata)
    if order.customer_id:
        params["customer"] = order.customer_id
        if order.tariff.get("save_card"):  # also for when the payer is not asked
            params["payment_intent_data"]["setup_future_usage"] = "off_session"
    elif order.email:
        params["customer_email"] = order.email
    if order.goes_on and not order.customer_id:
        params["customer_creation"] = "always"
    back = f"{settings.public_url}/orders/{order.id}?return=1"
    if order.ui == "embedded":
        embedded = {
            "ui_mode": "embedded_page",
            "redirect_on_completion": "if_required",
            "return_url": back,
        }
        return params | embedded
    page = "/me" if slug is None else f"/r/{slug}"
    cancel = settings.own_page(f"{page}?canceled={order.id}")
    return params | {"ui_mode": "hosted_page", "success_url": back, "cancel_url": cancel}


def _hold(order: Order) -> dict[str, Any]:
    """What is paid for by use is held now and charged at the end; the card is kept only for who wants to go on."""
    if order.funding != "metered":
        return {}
    kept = {"setup_future_usage": "on_session"} if order.goes_on else {}
    return {"capture_method": "manual"} | kept


def _price_data(order: Order, *, taxed: bool) -> dict[str, Any]:
    up_to = "up to " if order.funding == "metered" else ""
    minutes = "" if order.seconds is None else f" ({up_to}{wording.length(order.seconds)})"
    return {
        "currency": order.currency,
        "unit_amount": order.amount_minor,
        "product_data": {
            "name": f"{order.title}{minutes}",
            "description": (wording.of_use(order) or order.description)[:DESCRIPTION_MAX],
        },
    } | ({"tax_behavior": "inclusive"} if taxed else {})


async def begin_call(
    tx: Transaction, settings: PaymentsSettings, order: Order, *, slug: str | None, now_s: int
) -> None:
    """In the transaction that makes the order."""
    params = checkout_params(settings, order, slug, now_s, taxed=await _is_taxed(tx, order))
    first_key = f"checkout:{order.id}"
    await attempts.begin(tx, OPERATION, order.id, params, first_key=first_key, now_s=now_s)


async def _is_taxed(tx: Transaction, order: Order) -> bool:
    """Only what is bought whole in a room whose rates say so: of a hold nobody knows yet what is charged, and credits
    are not what is sold."""
    room = await room_of(tx, order)
    if room is None or order.purpose != "access" or order.funding != "payment":
        return False
    return bool((await rates.figures_of_room(tx, room)).get("automatic_tax"))


@dataclass(frozen=True, slots=True)
class OpeningCheckout(OrderPayment[Checkout]):
    """The Checkout Session of one order."""

    operation: ClassVar[str] = OPERATION

    async def make(self, params: dict[str, Any], key: str) -> Checkout:
        return await self.ctx.service.create_checkout(params, key)

    async def find(self, first: StripeCall) -> Sequence[Checkout]:
        checkouts = await self.ctx.service.find_checkouts(self.order_id, attempts.since_s(first))
        return sorted(checkouts, key=lambda one: _RANK[one.fact.session_status])

    async def spare(self, made: Checkout) -> None:
        if made.fact.session_status == "open":
            await self.ctx.service.expire_checkout(made.fact.checkout_session_id)

    def id_of(self, made: Checkout) -> str:
        return made.fact.checkout_session_id

    def is_final(self, *, is_late: bool) -> bool:
        """A late attempt may only be too late for its own parameters; a refused first attempt is final."""
        return not is_late

    async def params(self, tx: Transaction, order: Order, now_s: int) -> dict[str, Any]:
        room, taxed = await room_of(tx, order), await _is_taxed(tx, order)
        slug = None if room is None else room.slug
        return checkout_params(self.ctx.settings, order, slug, now_s, taxed=taxed)

    def values(self, made: Checkout) -> dict[str, Any]:
        return {
            "checkout_session_id": made.fact.checkout_session_id,
            "checkout_url": made.url,
            "client_secret": made.client_secret,
        }


async def attempt_call(ctx: Context, order_id: str) -> None:
    """Makes the newest call of an order and stores what came of it; what is unknown stays unknown."""
    await attempts.attempt(ctx, OpeningCheckout(ctx, order_id))


async def reconcile(ctx: Context, order_id: str) -> None:
    """Finds out what came of an order's call, and makes it again where nothing did. Raises OutcomeUnknownError when the
    service cannot be asked."""
    await attempts.reconcile(ctx, OpeningCheckout(ctx, order_id))
