"""Receipts by mail: once after the stay or the settlement, again after a refund, in plain words that add up."""

import pytest

from signaling.ids import derived_secret
from signaling.mail import Letter, plain_text
from signaling.payments.receipts import LETTER, QUIET_S, ReceiptLetters, ask_receipts
from signaling.post import KIND
from signaling.stores import outbox
from signaling.stores.outbox import OutboxRow

from .test_asked_refunds import ask
from .test_codes_and_fees import add_code
from .usage import METERED, Caller, caller
from .world import Customer, World

BO = "bo@example.org"


def sign(order_id: str) -> str:
    return derived_secret("a key of this server", order_id)


async def letters(world: World) -> list[Letter]:
    """What is asked for by now and not yet written, as it reads."""
    await ask_receipts(world.payments.ctx)
    async with world.db.read() as tx:
        rows = await outbox.due(tx, world.payments.ctx.now_s(), [KIND])
    written = []
    for row in rows:
        assert row.payload["letter"] == LETTER
        letter = await ReceiptLetters(world.payments.ctx, sign).letter(row)
        await world.db.write(lambda tx, row=row: outbox.finish(tx, row.id, "done"))
        if letter is not None:
            written.append(letter)
    return written


async def stays(world: World, who: Customer, seconds: float) -> Caller:
    shown = await world.show(who)
    one = Caller(world, who, shown["pass"]["id"])
    await one.calls(seconds)
    return one


async def test_one_receipt_comes_when_the_payer_has_been_away_for_five_minutes(world: World) -> None:
    await world.add_room()
    who, _ = await world.buy(email=BO)
    assert await letters(world) == [], "not before the call"
    one = await stays(world, who, 300)
    assert await letters(world) == [], "they may come back at once"
    await one.enters()
    world.later(QUIET_S + 1)
    assert await letters(world) == [], "they are inside"
    await one.goes()
    world.later(QUIET_S + 1)
    (letter,) = await letters(world)
    assert (letter.to, letter.subject) == (BO, "Receipt: A talk")
    text = plain_text(letter)
    for words in (
        "A talk, with Ada",
        "An hour with somebody who knows.",
        "This was a test payment",
        "15 min at 1.00 EUR a minute: 15.00 EUR",
        "Connected: 5 min",
        "Total: 15.00 EUR",
        who.order_id,
    ):
        assert words in text
    assert await letters(world) == [], "once"


async def test_after_a_refund_it_comes_again_and_says_so(world: World) -> None:
    await world.add_room()
    who, _ = await world.buy(email=BO)
    await stays(world, who, 300)
    world.later(QUIET_S + 1)
    assert len(await letters(world)) == 1
    for amount_minor, total in ((200, "13.00"), (300, "10.00")):
        await ask(world, who, amount_minor=amount_minor)
        await world.settle_down()
        (letter,) = await letters(world)
        assert letter.subject == "Refund: A talk"
        assert f"Refunded: {amount_minor / 100:.2f} EUR (a gesture of goodwill, sent)" in plain_text(letter)
        assert f"Total: {total} EUR" in plain_text(letter)
    assert await letters(world) == []


async def test_what_was_never_used_gets_its_receipt_with_the_refund(world: World) -> None:
    await world.add_room()
    who, _ = await world.buy(email=BO)
    await ask(world, who, part="all")
    await world.settle_down()
    (letter,) = await letters(world)
    assert "Total: 0.00 EUR" in plain_text(letter)


async def test_pay_for_use_says_what_was_held_charged_and_released(world: World) -> None:
    await world.add_room(tariff=METERED)
    one = await caller(world, email=BO)
    await one.enters()
    assert await letters(world) == []
    await one.uses(420)
    await one.goes()
    await world.settle_down()
    (letter,) = await letters(world)
    words = (
        "Your bank was asked to hold 15.00 EUR. You used 7 min at 1.00 EUR a minute: "
        "7.00 EUR were charged, 8.00 EUR were released."
    )
    assert words in plain_text(letter)
    assert "Total: 7.00 EUR" in plain_text(letter)


async def test_a_discount_and_a_fee_on_top_are_lines_of_their_own(world: World) -> None:
    await world.add_room()
    await add_code(world)
    who, _ = await world.buy(email=BO, code="HALF")
    await stays(world, who, 60)
    world.later(QUIET_S + 1)
    (letter,) = await letters(world)
    assert "15 min at 1.00 EUR a minute: 15.00 EUR" in plain_text(letter)
    assert "Discount: -7.50 EUR. Paid: 7.50 EUR" in plain_text(letter)
    status, receipt = await world.call("GET", f"/api/orders/{who.order_id}/receipt", who)
    assert status == 200
    assert (receipt["list"]["amount_minor"], receipt["discount"]["amount_minor"]) == (1500, 750)


async def test_nobody_who_gave_no_address_and_nothing_free_is_written_about(world: World) -> None:
    await world.add_room()
    who, _ = await world.buy()
    await stays(world, who, 60)
    await world.add_room("free", tariff={"kind": "free", "currency": "eur", "seconds": 900})
    free = world.customer()
    status, _ = await world.order(free, "free", email=BO)
    assert status == 201
    await stays(world, free, 60)
    world.later(QUIET_S + 1)
    assert await letters(world) == []


async def test_the_links_secret_opens_the_order_and_never_shuts_out_another_device(world: World) -> None:
    await world.add_room()
    first, _ = await world.buy(email=BO)
    second, _ = await world.buy(email=BO)
    _, made = await world.call("POST", f"/api/orders/{second.order_id}/link", second)
    for who in (first, second):
        await stays(world, who, 60)
    world.later(QUIET_S + 1)
    links = {link(letter).split("/")[-1].split("#")[0]: link(letter) for letter in await letters(world)}
    secret = links[first.order_id].partition("#secret=")[2]
    assert (await world.call("GET", f"/api/orders/{first.order_id}", Customer("", secret)))[0] == 200
    assert "#" not in links[second.order_id]
    device = Customer("", made["url"].partition("#secret=")[2])
    assert (await world.call("GET", f"/api/orders/{second.order_id}", device))[0] == 200


async def test_a_repeat_of_a_letter_is_the_same_letter(world: World) -> None:
    await world.add_room()
    who, _ = await world.buy(email=BO)
    row = OutboxRow("x", KIND, who.order_id, {"letter": LETTER, "order_id": who.order_id}, 0)
    written = [await ReceiptLetters(world.payments.ctx, sign).letter(row) for _ in range(2)]
    assert written[0] == written[1]


@pytest.mark.parametrize("asked", [True, False])
async def test_the_server_asks_by_itself_only_when_it_can_send(world: World, asked: bool) -> None:
    await world.reboot(receipts=asked)
    await world.add_room()
    who, _ = await world.buy(email=BO)
    await stays(world, who, 60)
    world.later(QUIET_S + 1)
    await world.settle_down()
    kinds = [row["kind"] for row in await world.rows("outbox")]
    assert (KIND in kinds) is asked


def link(letter: Letter) -> str:
    (found,) = [line[1] for line in letter.lines if not isinstance(line, str)]
    return found
