"""The currencies that cards are charged in: all that Stripe takes.

Source: docs.stripe.com/currencies, read on 2026-11-23 in a stored copy without a date (of 2026: it has no BGN any more).
Which codes it shows depends on the reader's country; these are the ones of an account in the United States, and the
dinars and the rial, which Stripe's API names itself when it is asked for a currency that it does not know.

Exponents are Stripe's, not ISO's: two digits, but none or three where the page says so. What is special there:

- Amounts of three digits end in 0 (5.120 dinars, never 5.124).
- ISK and UGX have no smaller unit any more, but are still written with two digits, always 00: so their step is 100.
- HUF and TWD are charged with two digits, but Stripe pays them out to banks in whole units only. Nothing here depends
  on it: what hosts get are transfers between accounts at Stripe, and it is Stripe that pays those out.
- BGN is no longer on the page (Bulgaria has the euro since 2026), nor is any other currency that is left out here.

The smallest charge is the one that Stripe lists for the currency. It lists 31, and says that a charge which is converted
has to be worth the smallest one of the currency that the account is paid out in. So for all others, and for those listed
with a minimum worth next to nothing to whoever is not paid out in them (0.50 pesos), it is about one US dollar (half of
one where eight digits hardly last): more than the 0.50 dollars that Stripe wants after conversion, so that a drifting
exchange rate does not make a price unpayable. An account that is paid out in another currency with a higher minimum can
still be refused the smallest charges.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Currency:
    """`exponent`: digits after the point. `step_minor`: amounts are whole multiples of it (KWD: 10).
    `minimum_minor`: the smallest charge."""

    code: str
    exponent: int
    step_minor: int
    minimum_minor: int


# Stripe's list of minimum charges, in minor units.
_LISTED = """
usd 50      aed 200     ars 50      aud 50      brl 50      cad 50      chf 50      cop 50
czk 1500    dkk 250     eur 50      gbp 30      hkd 400     huf 17500   idr 50      ils 50
inr 50      jpy 50      krw 50      mxn 1000    myr 200     nok 300     nzd 50      php 50
pln 200     ron 200     rub 50      sek 300     sgd 50      thb 1000    zar 50
"""

# About one US dollar, in minor units: not listed, or listed with next to nothing.
_ABOUT_A_DOLLAR = """
afn 7000    all 9000    amd 40000   ang 180     aoa 95000   ars 150000  awg 180     azn 170
bam 180     bbd 200     bdt 12500   bhd 400     bif 3000    bmd 100     bnd 140     bob 700
bsd 100     bwp 1400    byn 330     bzd 200     cdf 290000  clp 1000    cny 750     cop 450000
crc 52000   cve 11000   djf 180     dop 6500    dzd 13500   egp 5500    etb 15000   fjd 230
fkp 80      gel 300     gip 80      gmd 7500    gnf 9000    gtq 800     gyd 21000   hnl 2700
htg 13500   idr 1700000 ils 400     isk 15000   jmd 16500   jod 750     kes 14000   kgs 9000
khr 420000  kmf 500     krw 1500    kwd 350     kyd 90      kzt 55000   lak 1200000 lbp 4500000
lkr 31000   lrd 20000   lsl 2000    mad 1000    mdl 1800    mga 5000    mkd 6000    mmk 210000
mnt 360000  mop 850     mur 4700    mvr 1600    mwk 175000  mzn 6500    nad 2000    ngn 160000
nio 3700    npr 14500   omr 400     pab 100     pen 400     pgk 450     php 6000    pkr 30000
pyg 8000    qar 400     rsd 11000   rub 10000   rwf 1500    sar 400     sbd 900     scr 1500
shp 80      sle 2500    sos 58000   srd 4000    std 1200000 szl 2000    tjs 1100    tnd 3200
top 250     try 5000    ttd 700     twd 3500    tzs 270000  uah 4500    ugx 380000  uyu 4300
uzs 1300000 vnd 27000   vuv 130     wst 300     xaf 650     xcd 270     xcg 180     xof 650
xpf 120     yer 53000   zar 2000    zmw 2900
"""

_NO_DIGITS = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
_THREE_DIGITS = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
_ALWAYS_WHOLE = frozenset({"isk", "ugx"})


def _amounts(text: str) -> dict[str, int]:
    words = text.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


LISTED_MINIMUM_MINOR = MappingProxyType(_amounts(_LISTED))


def _currencies() -> Iterator[Currency]:
    """Those that Stripe lists first, the others by their codes."""
    for code, minimum_minor in (_amounts(_LISTED) | _amounts(_ABOUT_A_DOLLAR)).items():
        exponent = 0 if code in _NO_DIGITS else 3 if code in _THREE_DIGITS else 2
        step_minor = 100 if code in _ALWAYS_WHOLE else 10 if code in _THREE_DIGITS else 1
        yield Currency(code, exponent, step_minor, minimum_minor)


CURRENCIES = MappingProxyType({one.code: one for one in _currencies()})
