"""A file that an earlier version wrote: what is open in it can still be paid, and what was paid charged again."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import stripe

from .world import build_world


async def test_what_an_earlier_version_left_open_goes_on(tmp_path: Path):
    async with build_world(tmp_path) as world:
        customer = await world.client.v1.customers.create_async({})
        kept = await world.client.v1.payment_methods.attach_async(
            "pm_card_chargeCustomerFail", {"customer": customer.id}
        )
        session = await world.session()
        assert (await world.pay(session, "declined"))["state"] == "declined"
        with closing(sqlite3.connect(tmp_path / "sandbox.db")) as db, db:
            db.execute(
                "UPDATE objects SET hidden = json_remove(hidden, '$.confirming', '$.subscription', '$.card')"
            )
        assert (await world.page(session))["status"] == "open"
        assert (await world.pay(session))["state"] == "complete"
        intents = await world.client.v1.payment_intents.list_async()
        assert len(intents.data) == 1, "the try that was declined and the one that paid are one PaymentIntent"
        with pytest.raises(stripe.CardError):  # known by its last digits
            await world.client.v1.payment_intents.create_async(
                {
                    "amount": 500,
                    "currency": "eur",
                    "customer": customer.id,
                    "payment_method": kept.id,
                    "confirm": True,
                }
            )
