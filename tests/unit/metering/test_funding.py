"""Windows of holds: which one comes next, and what each is charged in the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.currencies import CURRENCIES
from metering.errors import MeterError
from metering.funding import (
    NEXT,
    Ask,
    Charge,
    Refused,
    Window,
    affordable_s,
    moved,
    next_window,
    price_of_use,
    settle,
    window_price,
)
from metering.tariff import Metered, Wallet

CARD = Metered(100, "eur")
WALLET = Wallet(100, "eur")
MINIMUM_MINOR = CURRENCIES["eur"].minimum_minor


def held(*lengths_ms: int, tariff: Metered | Wallet = CARD, begins_ms: int = 0) -> list[Window]:
    """Windows one after the other, each holding its price."""
    windows, at_ms = [], begins_ms
    for number, length_ms in enumerate(lengths_ms, start=1):
        price = window_price(tariff, at_ms - begins_ms, length_ms)
        windows.append(Window(number, at_ms, length_ms, price, "held"))
        at_ms += length_ms
    return windows


# --- the price of a use -----------------------------------------------------------------------------------


def test_what_is_used_costs_no_more_than_its_whole_seconds_times_the_rate():
    assert price_of_use(CARD, 432_999) == 720, "7:12 at 1.00 a minute, as the receipt says"
    assert price_of_use(CARD, 433_000) == 721
    assert price_of_use(Metered(60, "eur"), 999) == 0


# --- which one comes next ---------------------------------------------------------------------------------


def test_the_first_window_begins_at_zero_and_needs_no_further_agreement():
    assert next_window(CARD, [], granted_ms=0, agreed=False) == Ask(1, 0, 900_000, 1500)


def test_the_next_window_begins_where_the_pass_ends():
    assert next_window(CARD, held(900_000), granted_ms=900_000) == Ask(2, 900_000, 900_000, 1500)


def test_a_failed_window_keeps_its_number():
    failed = Window(2, 900_000, 900_000, 1500, "failed")
    assert next_window(CARD, [*held(900_000), failed], granted_ms=900_000) == Ask(3, 900_000, 900_000, 1500)


def test_the_last_window_ends_with_the_longest_call():
    tariff = Metered(100, "eur", max_seconds=1200)
    assert next_window(tariff, held(900_000), granted_ms=900_000) == Ask(2, 900_000, 300_000, 500)
    assert next_window(tariff, held(900_000, 300_000), granted_ms=1_200_000) == Refused("at_the_end")


def test_free_minutes_come_before_the_first_window_and_cost_nothing():
    first = next_window(CARD, [], granted_ms=300_000)
    assert first == Ask(1, 300_000, 900_000, 1500)
    settled = settle(CARD, held(900_000, begins_ms=300_000), 360_000)
    assert settled.charged_minor == 100


# windows' states | agreed | settled | refused as
REFUSALS = """
held        | no  | no  | not_agreed
held asked  | yes | no  | pending
held action | yes | no  | pending
held        | yes | yes | settled
"""


@pytest.mark.parametrize("row", [row for row in REFUSALS.splitlines() if row.strip()])
def test_no_further_window(row: str):
    states, agreed, settled, reason = (cell.strip() for cell in row.split("|"))
    windows = [
        Window(number, (number - 1) * 900_000, 900_000, 1500, state)  # type: ignore[arg-type]
        for number, state in enumerate(states.split(), start=1)
    ]
    answer = next_window(CARD, windows, granted_ms=900_000, agreed=agreed == "yes", settled=settled == "yes")
    assert answer == Refused(reason)  # type: ignore[arg-type]


def test_windows_that_do_not_end_with_the_pass_are_our_fault():
    with pytest.raises(MeterError):
        next_window(CARD, held(900_000), granted_ms=800_000)


# wallet holds | seconds of the next window (None: balance_low)
WALLETS = """
1000 | 120
200  | 120
199  | 119
100  | 60
2    | 1
0    | None
"""


@pytest.mark.parametrize("row", [row for row in WALLETS.splitlines() if row.strip()])
def test_a_wallet_holds_what_is_there(row: str):
    available, seconds = (cell.strip() for cell in row.split("|"))
    answer = next_window(WALLET, [], granted_ms=0, available_minor=int(available))
    assert answer == Refused("balance_low") if seconds == "None" else isinstance(answer, Ask)
    if isinstance(answer, Ask):
        assert answer.seconds == int(seconds)
        assert answer.held_minor <= int(available)


def test_a_wallet_that_lacks_a_minute_does_not_begin():
    low = next_window(WALLET, [], granted_ms=0, available_minor=99, least_s=60)
    assert low == Refused("balance_low")
    # 99 units buy every millisecond before the hundredth is due: 59 whole seconds.
    assert affordable_s(WALLET, 0, 99) == 59


@given(
    st.integers(1, 10_000), st.integers(0, 10**7), st.integers(0, 10**6), st.sampled_from(sorted(CURRENCIES))
)
def test_what_is_affordable_is_exactly_that(rate: int, begins_s: int, available: int, code: str):
    tariff, begins_ms = Wallet(rate, code), begins_s * 1000
    seconds = affordable_s(tariff, begins_ms, available)
    assert window_price(tariff, begins_ms, seconds * 1000) <= available
    if available > 0:
        assert window_price(tariff, begins_ms, (seconds + 1) * 1000) > available


def test_a_window_moves_as_the_table_says():
    window = held(900_000)[0]
    assert moved(window, "held") is window
    assert moved(window, "settling").state == "settling"
    with pytest.raises(MeterError):
        moved(window, "failed")
    assert {state for after in NEXT.values() for state in after} < set(NEXT)


# --- the end ----------------------------------------------------------------------------------------------

# windows (minutes) | used | waived today | charges | waived now
STORIES = """
15      | 7:12  | no  | 720        | no
15      | 0:00  | no  | 0          | no
15      | 15:00 | no  | 1500       | no
15      | 0:29  | no  | 0          | yes
15      | 0:29  | yes | 50         | no
15      | 0:30  | no  | 50         | no
15 15   | 20:00 | no  | 1500 500   | no
15 15   | 10:00 | no  | 1000 0     | no
15 15   | 15:06 | no  | 1460 50    | no
15 15 9 | 32:00 | no  | 1500 1500 200 | no
15      | 16:00 | no  | 1500       | no
"""


@pytest.mark.parametrize("row", [row for row in STORIES.splitlines() if row.strip()])
def test_what_was_used_is_charged_to_the_windows_in_their_order(row: str):
    minutes, used, before, charges, waived = (cell.strip() for cell in row.split("|"))
    windows = held(*(int(each) * 60_000 for each in minutes.split()))
    used_min, used_s = used.split(":")
    settled = settle(
        CARD,
        windows,
        (int(used_min) * 60 + int(used_s)) * 1000,
        minimum_minor=MINIMUM_MINOR,
        waived_today=before == "yes",
    )
    assert [charge.charged_minor for charge in settled.charges] == [int(each) for each in charges.split()]
    assert settled.waived == (waived == "yes")
    for charge, window in zip(settled.charges, windows, strict=True):
        assert charge.charged_minor + charge.released_minor == window.held_minor


def test_a_rest_that_no_card_can_be_charged_is_let_go():
    tiny = Metered(50, "eur", window_s=60)
    windows = held(60_000, 60_000, tariff=tiny)  # 0.50 each, the smallest charge
    settled = settle(tiny, windows, 72_000, minimum_minor=50)
    assert settled.price_minor == 60
    assert [charge.charged_minor for charge in settled.charges] == [50, 0]


def test_only_time_that_was_held_is_charged():
    windows = [*held(900_000), Window(2, 900_000, 900_000, 1500, "action")]
    settled = settle(CARD, windows, 900_000)
    assert settled.charges == (Charge(1, 1500, 0),)


def test_asked_again_it_answers_what_is_stored():
    stored = [Window(1, 0, 900_000, 1500, "settling", 720)]
    again = settle(CARD, stored, 900_000, minimum_minor=50, waived_today=False)
    assert (again.charged_minor, again.waived) == (720, False)
    assert again.charges == (Charge(1, 720, 780),)


def test_a_pass_without_a_hold_costs_nothing():
    assert settle(CARD, [], 60_000).charged_minor == 0


@given(
    st.sampled_from(sorted(CURRENCIES)),
    st.integers(1, 5000),
    st.lists(st.integers(1, 7200), min_size=1, max_size=8),
    st.integers(0, 8 * 7200 * 1000),
    st.tuples(st.booleans(), st.booleans()),
)
def test_charges_add_up_and_stay_within_their_holds(
    code: str, rate: int, lengths_s: list[int], used_ms: int, case: tuple[bool, bool]
):
    waived_today, by_card = case
    tariff = Metered(rate, code) if by_card else Wallet(rate, code)
    windows = held(*(length * 1000 for length in lengths_s), tariff=tariff)
    minimum = CURRENCIES[code].minimum_minor if by_card else 0
    settled = settle(tariff, windows, used_ms, minimum_minor=minimum, waived_today=waived_today)
    amounts = [charge.charged_minor for charge in settled.charges]
    price = price_of_use(tariff, min(used_ms, windows[-1].ends_ms))
    assert settled.price_minor == price
    assert settled.charged_minor == sum(amounts)
    for amount, window in zip(amounts, windows, strict=True):
        assert 0 <= amount <= window.held_minor
    if not by_card or price >= minimum * len(windows):
        assert sum(amounts) == price or (0 < price - sum(amounts) < minimum)
    if not by_card:
        assert sum(amounts) == price
    if price < minimum and windows[0].held_minor >= minimum:
        assert sum(amounts) in (({minimum} if waived_today else {0}) if price else {0})
    assert settled.waived == (0 < price < minimum and not waived_today)
    # A repeat over what was stored says the same.
    stored = [
        Window(w.number, w.begins_ms, w.length_ms, w.held_minor, "settling", amount)
        for w, amount in zip(windows, amounts, strict=True)
    ]
    assert settle(tariff, stored, used_ms).charged_minor == settled.charged_minor


@given(st.integers(1, 5000), st.lists(st.integers(1, 7200), min_size=1, max_size=8))
def test_windows_hold_exactly_the_price_of_the_whole(rate: int, lengths_s: list[int]):
    tariff = Metered(rate, "kwd")
    windows = held(*(length * 1000 for length in lengths_s), tariff=tariff)
    assert sum(window.held_minor for window in windows) == price_of_use(tariff, windows[-1].ends_ms)
