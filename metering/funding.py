"""The windows of one pass: which one to ask for next, what it holds, and what each is charged in the end.

A pass that is paid for by use grows by windows, numbered from 1, each backed by a hold on a card or a wallet. A window
begins where the one before ended, in the pass's granted time; time granted before window 1 (free minutes) costs
nothing. A window holds `price(end) - price(begin)`, so that however many there are, they add up to the price of the
whole, and no rounding is taken twice.

    asked -> held -> settling -> settled     the ordinary way
    asked -> action -> held                  the payer had to confirm with the bank
    asked | action -> failed                 declined, or not confirmed in time
    asked | action | held -> released        not needed any more: nothing was taken

`settle` is asked once, when the stay is over; what it answers is stored with the windows, and from then on the stored
charges are the answer. What the card was asked to hold is never exceeded, whatever was used.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from metering.errors import MeterError
from metering.money import Money, currency, round_price_down
from metering.tariff import MAX_SECONDS, MIN_SECONDS, Windowed

WindowState = Literal["asked", "action", "held", "settling", "settled", "failed", "released"]
# A window that still may become a hold, and one whose time was granted.
PENDING: frozenset[WindowState] = frozenset({"asked", "action"})
BACKED: frozenset[WindowState] = frozenset({"held", "settling", "settled"})
# What may follow each state. The same state again is a repeat and changes nothing.
NEXT: dict[WindowState, frozenset[WindowState]] = {
    "asked": frozenset({"action", "held", "failed", "released"}),
    "action": frozenset({"held", "failed", "released"}),
    "held": frozenset({"settling", "released"}),
    "settling": frozenset({"settled"}),
    "settled": frozenset(),
    "failed": frozenset(),
    "released": frozenset(),
}

Refusal = Literal["settled", "pending", "not_agreed", "at_the_end", "balance_low"]


@dataclass(frozen=True, slots=True)
class Window:
    """One window as stored. Times are milliseconds of the pass's granted time. `charged_minor` None: not settled."""

    number: int
    begins_ms: int
    length_ms: int
    held_minor: int
    state: WindowState
    charged_minor: int | None = None

    @property
    def ends_ms(self) -> int:
        return self.begins_ms + self.length_ms


@dataclass(frozen=True, slots=True)
class Ask:
    """The window to ask for: `held_minor` for `length_ms` from `begins_ms` on."""

    number: int
    begins_ms: int
    length_ms: int
    held_minor: int

    @property
    def seconds(self) -> int:
        return self.length_ms // 1000


@dataclass(frozen=True, slots=True)
class Refused:
    """No further window, and why: the pass is `settled`, another is `pending`, the payer has `not_agreed`, the longest
    call is reached (`at_the_end`), or the wallet holds too little (`balance_low`)."""

    reason: Refusal


def price_of_use(tariff: Windowed, used_ms: int) -> int:
    """Minor units for so much use from the beginning: of its whole seconds, so that who multiplies the time on a receipt
    by the rate finds no more than that (rounded down to the currency's step)."""
    if used_ms < 0:
        raise MeterError(f"a use of {used_ms} ms")
    used_s = used_ms // 1000
    return round_price_down(tariff.rate_minor_per_min * used_s, 60, tariff.currency).amount_minor


def window_price(tariff: Windowed, begins_ms: int, length_ms: int) -> int:
    """What a window holds; `begins_ms` counted from the first paid millisecond."""
    return price_of_use(tariff, begins_ms + length_ms) - price_of_use(tariff, begins_ms)


def next_window(
    tariff: Windowed,
    windows: Sequence[Window],
    *,
    granted_ms: int,
    settled: bool = False,
    agreed: bool = True,
    available_minor: int | None = None,
    least_s: int = 1,
) -> Ask | Refused:
    """The window that follows what was granted.

    `agreed`: whether the payer wants to go on (window 1 needs no more than the order). `available_minor`: what a wallet
    can still hold (None: a card, which is asked for the whole window). `least_s`: the shortest that is worth a hold.
    Raises MeterError when the windows do not end where the granted time does.
    """
    if settled:
        return Refused("settled")
    if any(window.state in PENDING for window in windows):
        return Refused("pending")
    backed = [window for window in windows if window.state in BACKED]
    if backed and backed[-1].ends_ms != granted_ms:
        raise MeterError(f"windows end at {backed[-1].ends_ms} ms, the pass at {granted_ms} ms")
    if backed and not agreed:
        return Refused("not_agreed")
    paid_from_ms = granted_ms - (backed[0].begins_ms if backed else granted_ms)
    most_s = min(tariff.window_s, ((tariff.max_seconds or MAX_SECONDS) * 1000 - paid_from_ms) // 1000)
    if most_s <= 0:
        return Refused("at_the_end")
    length_s = most_s
    if available_minor is not None:
        length_s = min(most_s, affordable_s(tariff, paid_from_ms, available_minor))
    held_minor = window_price(tariff, paid_from_ms, length_s * 1000)
    if length_s < min(least_s, most_s) or held_minor == 0:
        return Refused("balance_low")
    number = max((window.number for window in windows), default=0) + 1
    return Ask(number, granted_ms, length_s * 1000, held_minor)


def affordable_s(tariff: Windowed, begins_ms: int, available_minor: int) -> int:
    """The most whole seconds from there on whose hold is within `available_minor`."""
    if available_minor <= 0:
        return 0
    step_minor = currency(tariff.currency).step_minor
    # price(end) rises by one step exactly when rate * end reaches the next multiple of 60 000 steps.
    most_minor = (price_of_use(tariff, begins_ms) + available_minor) // step_minor * step_minor
    end_ms = ((most_minor + step_minor) * 60_000 - 1) // tariff.rate_minor_per_min
    return max(0, (end_ms - begins_ms) // 1000)


def shortest_hold_s(tariff: Windowed) -> int:
    """The shortest stay that is worth beginning: a minute, or all that the room sells."""
    return min(MIN_SECONDS, tariff.max_seconds or MIN_SECONDS)


def moved(window: Window, state: WindowState) -> Window:
    """The window in its next state. Raises MeterError for a step that the table does not have."""
    if state == window.state:
        return window
    if state not in NEXT[window.state]:
        raise MeterError(f"window {window.number}: {window.state} -> {state}")
    return replace(window, state=state)


# --- the end ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Charge:
    """What one hold is charged in the end, and what of it is let go."""

    number: int
    charged_minor: int
    released_minor: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """`price_minor`: of what was used, before the rule of the smallest charge. `waived`: that rule let it go (record it,
    so that it does so once a day). `charges`: of the windows whose time was granted, in their order."""

    price_minor: int
    charged_minor: int
    waived: bool
    charges: tuple[Charge, ...]


def settle(
    tariff: Windowed,
    windows: Iterable[Window],
    used_ms: int,
    *,
    minimum_minor: int = 0,
    waived_today: bool = True,
) -> Settlement:
    """Price `used_ms` of the pass once, and charge it to the windows in their order.

    `minimum_minor`: the smallest charge (a card's; a wallet has none). A whole call below it is let go, unless that
    happened today already (`waived_today`): then it costs the smallest charge. Where the last window would be charged
    less than the smallest charge, it takes so much from those before; where they have nothing to spare, that rest is
    let go. A pass whose windows carry charges already answers those.
    """
    backed = [window for window in windows if window.state in BACKED]
    if not backed:
        return Settlement(0, 0, waived=False, charges=())
    if any(window.charged_minor is not None for window in backed):
        return _settled_before(backed)
    begins_ms = backed[0].begins_ms
    paid_ms = min(max(0, used_ms - begins_ms), backed[-1].ends_ms - begins_ms)
    price_minor = price_of_use(tariff, paid_ms)
    due_minor, waived = price_minor, False
    if 0 < price_minor < minimum_minor:
        waived = not waived_today
        due_minor = 0 if waived else min(minimum_minor, backed[0].held_minor)
    amounts = _spread(due_minor, [window.held_minor for window in backed], minimum_minor)
    charges = tuple(
        Charge(window.number, amount, window.held_minor - amount)
        for window, amount in zip(backed, amounts, strict=True)
    )
    return Settlement(price_minor, sum(amounts), waived, charges)


def _settled_before(backed: Sequence[Window]) -> Settlement:
    charges = tuple(
        Charge(window.number, window.charged_minor or 0, window.held_minor - (window.charged_minor or 0))
        for window in backed
    )
    total_minor = sum(charge.charged_minor for charge in charges)
    return Settlement(total_minor, total_minor, waived=False, charges=charges)


def _spread(due_minor: int, held: Sequence[int], minimum_minor: int) -> list[int]:
    """The amount over the holds in their order, none of them between zero and the smallest charge."""
    amounts = []
    for held_minor in held:
        amounts.append(min(due_minor, held_minor))
        due_minor -= amounts[-1]
    last = max((place for place, amount in enumerate(amounts) if amount), default=None)
    if last is None or amounts[last] >= minimum_minor:
        return amounts
    missing_minor = minimum_minor - amounts[last]
    spare = [max(0, amount - minimum_minor) for amount in amounts[:last]]
    if sum(spare) < missing_minor or held[last] < minimum_minor:
        amounts[last] = 0
        return amounts
    for place in range(last - 1, -1, -1):
        taken_minor = min(spare[place], missing_minor)
        amounts[place] -= taken_minor
        amounts[last] += taken_minor
        missing_minor -= taken_minor
    return amounts


def smallest_charge(tariff: Windowed) -> Money:
    """What a call costs at least, once the day's free one was had."""
    return Money(currency(tariff.currency).minimum_minor, tariff.currency)
