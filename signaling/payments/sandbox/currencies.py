"""The limits Stripe puts on amounts, as documented; ours to enforce here so that they show in tests."""

from .errors import StripeError
from .params import Params

AMOUNT_MAX = 99_999_999  # eight digits
THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
ALWAYS_WHOLE = frozenset({"isk", "ugx"})  # two digits, always 00
MINIMUM_MINOR = {
    "aed": 200, "ars": 50, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "cop": 50, "czk": 1500, "dkk": 250,
    "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "idr": 50, "ils": 50, "inr": 50, "jpy": 50, "krw": 50,
    "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "php": 50, "pln": 200, "ron": 200, "rub": 50, "sek": 300,
    "sgd": 50, "thb": 1000, "usd": 50, "zar": 50,
}  # fmt: skip
_OTHERS = """
    afn all amd ang aoa awg azn bam bbd bdt bhd bif bmd bnd bob bsd bwp byn bzd cdf clp cny crc cve djf
    dop dzd egp etb fjd fkp gel gip gmd gnf gtq gyd hnl htg isk jmd jod kes kgs khr kmf kwd kyd kzt
    lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mzn nad ngn nio npr omr pab pen pgk pkr pyg
    qar rsd rwf sar sbd scr shp sle sos srd std szl tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst
    xaf xcd xcg xof xpf yer zmw
"""
SUPPORTED = frozenset(MINIMUM_MINOR) | frozenset(_OTHERS.split())


def read_currency(params: Params, key: str = "currency") -> str:
    currency = params.required_text(key).lower()
    if currency not in SUPPORTED:
        raise StripeError(f"Invalid currency: {currency[:20]}", param=params.name(key))
    return currency


def check_amount(amount_minor: int, currency: str, *, param: str) -> None:
    """Raises `amount_too_small`, `amount_too_large` or, for dinars, an amount whose last digit is not 0; krónur and Ugandan
    shillings are whole."""
    if amount_minor > AMOUNT_MAX:
        raise StripeError("Amount must be no more than 99999999", code="amount_too_large", param=param)
    if amount_minor < MINIMUM_MINOR.get(currency, 1):
        message = (
            f"The total amount must be at least {MINIMUM_MINOR.get(currency, 1)} {currency} (minor units)"
        )
        raise StripeError(message, code="amount_too_small", param=param)
    if currency in THREE_DECIMALS and amount_minor % 10:
        raise StripeError(f"The last digit of an amount in {currency} must be 0", param=param)
    if currency in ALWAYS_WHOLE and amount_minor % 100:
        raise StripeError(f"An amount in {currency} must be divisible by 100", param=param)
