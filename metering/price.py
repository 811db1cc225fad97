"""The parts of a price: what is listed, what a code takes off, what the platform's fee adds or keeps.

    amount = list - discount + fee on top          the payer's
    net    = amount - fee                          the host's (tax, when there is any, comes off as well)

Roundings, by name: a discount is rounded **up** to what the currency can pay, so that the price falls; a fee is rounded
**down**, on top of a price to what the currency can pay, inside it to a minor unit. A price that a discount would bring
below the smallest charge is raised to it, unless nothing is left: then it is free.
"""

from dataclasses import dataclass

from metering.errors import MeterError
from metering.money import Money, currency, round_price_down
from metering.rates import PERCENT_BP_MAX, Fee

PERCENT_MAX = 100
NO_FEE = Fee()


@dataclass(frozen=True, slots=True)
class Discount:
    """What a promotion code takes off: percent (1 to 100), or an amount of one currency."""

    percent: int | None = None
    amount_minor: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """Minor units of one currency. `fee_minor` is the platform's part of the amount, `fee_on_top_minor` what of it was
    added to the price (all or none). `raised_minor`: by so much the discount was cut, because cards are not charged
    less."""

    currency: str
    list_minor: int
    discount_minor: int
    fee_minor: int
    fee_on_top_minor: int
    raised_minor: int = 0

    @property
    def amount_minor(self) -> int:
        return self.list_minor - self.discount_minor + self.fee_on_top_minor

    @property
    def net_minor(self) -> int:
        return self.amount_minor - self.fee_minor


def price_parts(listed: Money, fee: Fee = NO_FEE, discount: Discount | None = None) -> Parts:
    """The parts of `listed` with that fee and discount. Raises MeterError for a discount of another currency."""
    off_minor = 0 if discount is None else discount_of(listed, discount)
    base = Money(listed.amount_minor - off_minor, listed.currency)
    if base.amount_minor == 0:
        return Parts(listed.currency, listed.amount_minor, off_minor, 0, 0)
    on_top_minor = fee_on_top(base, fee)
    least_minor = currency(listed.currency).minimum_minor
    raised_minor = min(off_minor, max(0, least_minor - base.amount_minor - on_top_minor))
    base = Money(base.amount_minor + raised_minor, base.currency)
    return Parts(
        currency=listed.currency,
        list_minor=listed.amount_minor,
        discount_minor=off_minor - raised_minor,
        fee_minor=on_top_minor if fee.on_top else fee_inside(base.amount_minor, fee),
        fee_on_top_minor=on_top_minor,
        raised_minor=raised_minor,
    )


def discount_of(listed: Money, discount: Discount) -> int:
    """Minor units off, at most the whole price. Raises MeterError for a discount of another currency."""
    if discount.percent is not None:
        rest = round_price_down(
            listed.amount_minor * (PERCENT_MAX - discount.percent), PERCENT_MAX, listed.currency
        )
        return listed.amount_minor - rest.amount_minor
    if discount.amount_minor is None or discount.currency != listed.currency:
        raise MeterError(f"a discount in {discount.currency} of a price in {listed.currency}")
    step_minor = currency(listed.currency).step_minor
    off_minor = -(-discount.amount_minor // step_minor) * step_minor
    return min(off_minor, listed.amount_minor)


def fee_on_top(base: Money, fee: Fee) -> int:
    """What the fee adds to that price for the guest; 0 when it comes out of the host's share."""
    if not fee.on_top:
        return 0
    exact_bp = base.amount_minor * fee.percent_bp + fee.fixed_minor * PERCENT_BP_MAX
    return round_price_down(exact_bp, PERCENT_BP_MAX, base.currency).amount_minor


def fee_inside(amount_minor: int, fee: Fee) -> int:
    """What the platform keeps of an amount that was paid, at most all of it: rounded down once."""
    return min(amount_minor, amount_minor * fee.percent_bp // PERCENT_BP_MAX + fee.fixed_minor)


def fee_in_proportion(fee_minor: int, part_minor: int, whole_minor: int) -> int:
    """The fee of a part of what an order was priced at (a window used in part): rounded down."""
    return 0 if whole_minor <= 0 else fee_minor * part_minor // whole_minor
