"""Wallets: packages of credits, what goes back of them, when a balance is low, and when to top it up unasked.

Credits are minor units of one currency. A package sells `credit_minor` for `price_minor`: more is a bonus that the
platform gives, less is a markup that it keeps. Whatever goes back to the payer takes its credits out of the wallet in
proportion, the last part taking the rounding, so that any sequence of refunds adds up to the whole package.
"""

from dataclasses import dataclass
from typing import Any, Literal

from metering.errors import RefusedError
from metering.money import MAX_AMOUNT_MINOR, currency, round_price_down

PACKAGES_MAX = 12
# A balance is low when it buys no more than this.
LOW_S = 120
AUTO_PER_HOUR = 3
HOUR_S = 3600
# Where nothing is set: about 10, 25 and 50 euros, and as much elsewhere.
_DEFAULT_TIMES_MINIMUM = (20, 50, 100)
# No gift of more than the price itself, and no markup above half of it: rather a slip of the keyboard.
_CREDIT_TIMES_MAX = 2


@dataclass(frozen=True, slots=True)
class Package:
    """`price_minor` buys `credit_minor`, both in `currency`."""

    price_minor: int
    credit_minor: int
    currency: str

    @property
    def bonus_minor(self) -> int:
        """What the platform adds."""
        return max(0, self.credit_minor - self.price_minor)

    @property
    def markup_minor(self) -> int:
        """What the platform keeps of the price."""
        return max(0, self.price_minor - self.credit_minor)

    @property
    def paid_credit_minor(self) -> int:
        """The part of the credits that the price covers."""
        return min(self.price_minor, self.credit_minor)

    def to_json(self) -> dict[str, Any]:
        return {
            "price_minor": self.price_minor,
            "credit_minor": self.credit_minor,
            "currency": self.currency,
        }


# --- packages ---------------------------------------------------------------------------------------------


def parse_packages(value: object) -> tuple[Package, ...]:
    """The packages in a decoded JSON list, in its order. Raises RefusedError `bad_packages`, UnknownCurrencyError."""
    if not isinstance(value, list) or not 1 <= len(value) <= PACKAGES_MAX:
        raise RefusedError("bad_packages", f"packages are a list of 1 to {PACKAGES_MAX}")
    return tuple(parse_package(item) for item in value)


def parse_package(value: object) -> Package:
    """One package. Raises RefusedError `bad_packages`, UnknownCurrencyError."""
    if not isinstance(value, dict) or set(value) != {"price_minor", "credit_minor", "currency"}:
        raise RefusedError("bad_packages", "a package has price_minor, credit_minor and currency")
    price, credit = value["price_minor"], value["credit_minor"]
    money = currency(value["currency"])
    for amount in (price, credit):
        if not isinstance(amount, int) or isinstance(amount, bool) or not 0 < amount <= MAX_AMOUNT_MINOR:
            raise RefusedError("bad_packages", f"amounts are between 1 and {MAX_AMOUNT_MINOR}")
        if amount % money.step_minor:
            raise RefusedError("bad_packages", f"amounts in {money.code} are multiples of {money.step_minor}")
    if price < money.minimum_minor:
        raise RefusedError("bad_packages", f"a package costs at least {money.minimum_minor}")
    if credit > _CREDIT_TIMES_MAX * price or price > _CREDIT_TIMES_MAX * credit:
        raise RefusedError("bad_packages", "credits are between half and twice the price")
    return Package(price, credit, money.code)


def default_packages(code: str) -> tuple[Package, ...]:
    """Round sums, at par, where the operator has set none. Raises UnknownCurrencyError."""
    money = currency(code)
    sums = sorted({_round_sum(times * money.minimum_minor) for times in _DEFAULT_TIMES_MINIMUM})
    return tuple(Package(minor, minor, code) for minor in sums if minor <= MAX_AMOUNT_MINOR)


def packages_for(code: str, value: object) -> tuple[Package, ...]:
    """Those of that currency among what the operator has set, else the defaults. Raises RefusedError."""
    own = () if value is None else parse_packages(value)
    return tuple(one for one in own if one.currency == code) or default_packages(code)


def _round_sum(minor: int) -> int:
    """Up to one digit, or to one digit and a five: 600, 1500, 9000."""
    unit = int("5" + "0" * max(0, len(str(minor)) - 2))
    return -(-minor // unit) * unit


# --- what goes back ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Back:
    """Credits that a refund takes out of the wallet again: `money_minor` of what was paid for, `bonus_minor` of the
    gift; `fee_minor` of the markup goes back without having been in the wallet."""

    money_minor: int
    bonus_minor: int
    fee_minor: int

    @property
    def credit_minor(self) -> int:
        """Out of the wallet in all."""
        return self.money_minor + self.bonus_minor


def back_for_refund(package: Package, refunded_before_minor: int, amount_minor: int) -> Back:
    """What a refund of `amount_minor` after `refunded_before_minor` takes back. Raises RefusedError `exceeds` for
    more than the package cost."""
    refunded_minor = refunded_before_minor + amount_minor
    if amount_minor < 0 or refunded_before_minor < 0 or refunded_minor > package.price_minor:
        raise RefusedError("exceeds", "a refund of more than was paid")
    money = _share(package.paid_credit_minor, refunded_minor, package) - _share(
        package.paid_credit_minor, refunded_before_minor, package
    )
    bonus = _share(package.bonus_minor, refunded_minor, package) - _share(
        package.bonus_minor, refunded_before_minor, package
    )
    return Back(money, bonus, amount_minor - money)


def _share(part_minor: int, refunded_minor: int, package: Package) -> int:
    """So much of a part of the package belongs to what was refunded of it; the payer keeps what does not divide."""
    return part_minor * refunded_minor // package.price_minor


def refundable_minor(package: Package, refunded_minor: int, available_minor: int) -> int:
    """The most that can go back: what is unspent in the wallet, never more than was paid and not yet refunded. The
    credits of what this answers are in the wallet."""
    left_minor = package.price_minor - refunded_minor
    if available_minor <= 0 or left_minor <= 0:
        return 0
    if back_for_refund(package, refunded_minor, left_minor).credit_minor <= available_minor:
        return left_minor
    left_credit_minor = package.credit_minor - _credit_back(package, refunded_minor)
    amount = round_price_down(
        left_minor * available_minor, max(left_credit_minor, available_minor), package.currency
    )
    step = currency(package.currency).step_minor
    minor = amount.amount_minor
    while minor > 0 and back_for_refund(package, refunded_minor, minor).credit_minor > available_minor:
        minor -= step
    return max(0, minor)


def _credit_back(package: Package, refunded_minor: int) -> int:
    return back_for_refund(package, 0, refunded_minor).credit_minor


@dataclass(frozen=True, slots=True)
class Taken:
    """Out of the wallet, and what was not there: the payer owes it."""

    wallet_minor: int
    short_minor: int


def take(wanted_minor: int, available_minor: int) -> Taken:
    """A wallet gives what it has, and never goes below zero."""
    wallet_minor = max(0, min(wanted_minor, available_minor))
    return Taken(wallet_minor, wanted_minor - wallet_minor)


@dataclass(frozen=True, slots=True)
class Frozen:
    """Credits that wait while a bank looks into the payment of a top-up: of what was paid for, and of the gift."""

    money_minor: int
    bonus_minor: int

    @property
    def credit_minor(self) -> int:
        return self.money_minor + self.bonus_minor


def frozen_by_disputes(package: Package, gone_minor: int, disputed_minor: int, unspent_minor: int) -> Frozen:
    """What waits of a top-up of which `gone_minor` has gone back and `disputed_minor` is being looked into: the credits of
    that part with their gift, as far as they are unspent; what was paid for before the gift."""
    about_minor = min(gone_minor + disputed_minor, package.price_minor) - gone_minor
    back = back_for_refund(package, gone_minor, about_minor)
    money_minor = take(back.money_minor, unspent_minor).wallet_minor
    return Frozen(money_minor, take(back.bonus_minor, unspent_minor - money_minor).wallet_minor)


def unspent_minor(available_minor: int, later_minor: int, frozen_minor: int) -> int:
    """Of one top-up. Credits that came first are spent first: of what is available, `later_minor` is of later ones.
    `frozen_minor` of it waits already, and nobody spent that."""
    return max(0, frozen_minor) + max(0, available_minor - max(0, later_minor))


# --- running low ------------------------------------------------------------------------------------------


def low_minor(rate_minor_per_min: int, configured_minor: int | None) -> int:
    """From this balance on (and below) it is low: as configured, else two minutes' worth."""
    return configured_minor if configured_minor is not None else -(-rate_minor_per_min * LOW_S // 60)


def seconds_left(available_minor: int, rate_minor_per_min: int) -> int:
    """Whole seconds that a balance pays for. Down: nobody is told of time that is not there."""
    return max(0, available_minor) * 60 // rate_minor_per_min


# --- topping up unasked -----------------------------------------------------------------------------------

Verdict = Literal[
    "due", "off", "outside", "enough", "owes", "disputed", "in_flight", "backing_off", "too_many"
]


@dataclass(frozen=True, slots=True)
class AutoTopup:
    """A wallet as the automatic top-up looks at it. `on`: switched on, with a card and a package; `disputed`: a bank looks
    into one of its top-ups; `in_flight`: one is on its way; `not_before_s`: after a decline; `asked_s`: when the earlier
    ones were asked for (wall clock)."""

    on: bool
    in_call: bool
    available_minor: int
    low_minor: int
    owed_minor: int = 0
    disputed: bool = False
    in_flight: bool = False
    not_before_s: int | None = None
    asked_s: tuple[int, ...] = ()


def auto_topup(wallet: AutoTopup, now_s: int) -> Verdict:
    """`due`, or why not. Only during a call, one at a time, at most three in an hour, an hour apart after a decline.
    Nobody's card pays a debt unasked, or what its bank may take back."""
    recent = sum(1 for asked_s in wallet.asked_s if asked_s > now_s - HOUR_S)
    reasons: tuple[tuple[bool, Verdict], ...] = (
        (not wallet.on, "off"),
        (not wallet.in_call, "outside"),
        (wallet.owed_minor > 0, "owes"),
        (wallet.disputed, "disputed"),
        (wallet.available_minor > wallet.low_minor, "enough"),
        (wallet.in_flight, "in_flight"),
        (wallet.not_before_s is not None and now_s < wallet.not_before_s, "backing_off"),
        (recent >= AUTO_PER_HOUR, "too_many"),
    )
    return next((verdict for holds, verdict in reasons if holds), "due")


def after_decline_s(now_s: int) -> int:
    """Until then a card that was declined is left alone."""
    return now_s + HOUR_S
