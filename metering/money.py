"""Amounts of money: integers in minor units of one currency, and roundings that have a name.

Currency codes are lower-case ISO 4217, as Stripe writes them. Exponents, steps and minimums are Stripe's
(docs.stripe.com/currencies). Where Stripe publishes no minimum, the table holds about one US dollar: more than the
0.50 dollars that Stripe asks after conversion, so that a drifting exchange rate does not make a price unpayable.
UGX is left out: Stripe treats it specially, and we have not tried it.
"""

from dataclasses import dataclass
from types import MappingProxyType

from metering.errors import MeterError, RefusedError, UnknownCurrencyError

# Stripe takes at most eight digits.
MAX_AMOUNT_MINOR = 99_999_999


@dataclass(frozen=True, slots=True)
class Currency:
    """`exponent`: digits after the point. `step_minor`: amounts are whole multiples of it (KWD: 10).
    `minimum_minor`: the smallest charge."""

    code: str
    exponent: int
    step_minor: int
    minimum_minor: int


# code  exponent  step  minimum. The first block's minimums are published by Stripe, the others are ours.
_TABLE = """
usd 2 1 50      aed 2 1 200     aud 2 1 50      bgn 2 1 100     brl 2 1 50      cad 2 1 50
chf 2 1 50      czk 2 1 1500    dkk 2 1 250     eur 2 1 50      gbp 2 1 30      hkd 2 1 400
huf 2 1 17500   inr 2 1 50      jpy 0 1 50      mxn 2 1 1000    myr 2 1 200     nok 2 1 300
nzd 2 1 50      pln 2 1 200     ron 2 1 200     sek 2 1 300     sgd 2 1 50      thb 2 1 1000

ars 2 1 150000  cop 2 1 450000  egp 2 1 5500    gel 2 1 300     idr 2 1 1700000 ils 2 1 400
kes 2 1 14000   mad 2 1 1000    ngn 2 1 160000  pen 2 1 400     php 2 1 6000    pkr 2 1 30000
qar 2 1 400     rsd 2 1 11000   sar 2 1 400     try 2 1 5000    twd 2 1 3500    uah 2 1 4500
zar 2 1 2000    isk 2 100 15000

bif 0 1 3000    clp 0 1 1000    djf 0 1 180     gnf 0 1 9000    kmf 0 1 500     krw 0 1 1500
mga 0 1 5000    pyg 0 1 8000    rwf 0 1 1500    vnd 0 1 27000   vuv 0 1 130     xaf 0 1 650
xof 0 1 650     xpf 0 1 120

bhd 3 10 400    jod 3 10 750    kwd 3 10 350    omr 3 10 400    tnd 3 10 3200
"""


def _parse_table(text: str) -> dict[str, Currency]:
    words = text.split()
    rows = zip(words[::4], words[1::4], words[2::4], words[3::4], strict=True)
    return {code: Currency(code, int(exp), int(step), int(least)) for code, exp, step, least in rows}


CURRENCIES = MappingProxyType(_parse_table(_TABLE))


def currency(code: object) -> Currency:
    """The currency of that code. Raises UnknownCurrencyError (also for upper case)."""
    found = CURRENCIES.get(code) if isinstance(code, str) else None
    if found is None:
        raise UnknownCurrencyError(code)
    return found


@dataclass(frozen=True, slots=True)
class Money:
    """`amount_minor` of `currency`; never negative (a direction belongs to a transfer)."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        currency(self.currency)
        if self.amount_minor < 0:
            raise RefusedError("negative_amount", f"an amount below zero: {self.amount_minor}")

    def __add__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(self.amount_minor + other.amount_minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(self.amount_minor - other.amount_minor, self.currency)

    def to_json(self) -> dict[str, int | str]:
        return {"amount_minor": self.amount_minor, "currency": self.currency}

    def decimal(self) -> str:
        """The amount with its point and without a symbol: `12.50`, `500`, `5.120`."""
        digits = currency(self.currency).exponent
        if digits == 0:
            return str(self.amount_minor)
        whole, part = divmod(self.amount_minor, 10**digits)
        return f"{whole}.{part:0{digits}d}"

    def _same_currency(self, other: "Money") -> None:
        if other.currency != self.currency:
            raise MeterError(f"{self.currency} and {other.currency} do not add")


# --- rounding: each favours the payer ---------------------------------------------------------------------


def round_price_down(numerator: int, denominator: int, code: str) -> Money:
    """What the payer owes for `numerator / denominator` minor units: down to the currency's step."""
    step = currency(code).step_minor
    return Money(numerator // (denominator * step) * step, code)


def round_refund_up(numerator: int, denominator: int, code: str) -> Money:
    """What the payer gets back for `numerator / denominator` minor units: up to the currency's step."""
    step = currency(code).step_minor
    return Money(-(-numerator // (denominator * step)) * step, code)


def round_duration_up(numerator: int, denominator: int) -> int:
    """Whole units of time that an amount buys: a started unit is the payer's."""
    return -(-numerator // denominator)
