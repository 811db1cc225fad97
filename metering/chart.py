"""What each event of the business books: plain data in, a tuple of transfers out, to be posted together or not at all.

The chart of accounts is in the README; ids and accounts are those of `docs/money.md`. Every part of one event has the
event's `code`, so that the transfers of one code and subject add up to what moved. Amounts of zero are left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from metering import accounts
from metering.errors import MeterError
from metering.ledger import Transfer, posting, voiding

Place = Literal["pending", "available"]

_PLACES = {"pending": accounts.earned_pending, "available": accounts.earned_available}


@dataclass(frozen=True, slots=True)
class Sale:
    """One sale, all of `amount_minor` included: the platform's fee, tax, and the payee's part (`net_minor`).

    `paid_by`: where the money came from and goes back to; Stripe, or the wallet of who paid.
    """

    sale_id: str
    payee: str
    amount_minor: int
    currency: str
    fee_minor: int = 0
    tax_minor: int = 0
    paid_by: str = accounts.STRIPE_CLEARING

    def __post_init__(self) -> None:
        if self.fee_minor < 0 or self.tax_minor < 0 or self.net_minor < 0:
            raise MeterError(f"sale {self.sale_id}: its parts are more than the whole")

    @property
    def net_minor(self) -> int:
        return self.amount_minor - self.fee_minor - self.tax_minor


@dataclass(frozen=True, slots=True)
class Share:
    """What is still there of a sale's `net_minor`: in the payee's account of that name, and frozen by disputes."""

    place: Place
    left_minor: int
    frozen_minor: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """Where the payee's part of what goes back comes from: their account, what is frozen, and their debt."""

    own_minor: int
    frozen_minor: int
    debt_minor: int


def taken(share: Share, net_minor: int, *, by_dispute: bool) -> Taken:
    """A refund takes first what is not frozen, a lost dispute what is. What is not there is a debt."""
    left_minor, frozen_minor = max(0, share.left_minor), share.frozen_minor
    if by_dispute:
        frozen_minor = min(frozen_minor, net_minor)
        own_minor = min(left_minor, net_minor - frozen_minor)
    else:
        own_minor = min(left_minor, net_minor)
        frozen_minor = min(frozen_minor, net_minor - own_minor)
    return Taken(own_minor, frozen_minor, net_minor - own_minor - frozen_minor)


@dataclass(frozen=True, slots=True)
class Parts:
    """Of an amount that goes back: the payee's, the platform's, and tax."""

    net_minor: int
    fee_minor: int
    tax_minor: int

    def __sub__(self, other: "Parts") -> "Parts":
        return Parts(
            self.net_minor - other.net_minor,
            self.fee_minor - other.fee_minor,
            self.tax_minor - other.tax_minor,
        )


def parts_of(sale: Sale, gone_minor: int) -> Parts:
    """How `gone_minor` of the sale is shared out once it has gone back: in proportion, the payee's part taking the
    rounding. A function of the sum alone, and none of its parts ever falls while the sum grows: any sequence of
    partial refunds gives back each part exactly.
    """
    if not 0 <= gone_minor <= sale.amount_minor:
        raise MeterError(f"sale {sale.sale_id}: {gone_minor} of {sale.amount_minor} cannot go back")
    others_minor = sale.fee_minor + sale.tax_minor
    if gone_minor == 0 or others_minor == 0:
        return Parts(gone_minor, 0, 0)
    theirs_minor = others_minor * gone_minor // sale.amount_minor
    fee_minor = sale.fee_minor * theirs_minor // others_minor
    return Parts(gone_minor - theirs_minor, fee_minor, theirs_minor - fee_minor)


def _move(  # noqa: PLR0917 - the columns of a transfer
    transfer_id: str, debit: str, credit: str, amount_minor: int, currency: str, code: str
) -> tuple[Transfer, ...]:
    if amount_minor == 0:
        return ()
    return (Transfer(transfer_id, debit, credit, amount_minor, currency, code),)


# --- sales ------------------------------------------------------------------------------------------------


def sold(sale: Sale, paid_from: str | None = None) -> tuple[Transfer, ...]:
    """The payer's money is there (at Stripe; `paid_from` else), and shared out."""
    source, code, currency = paid_from or sale.paid_by, "payment_captured", sale.currency
    pending, name = accounts.earned_pending(sale.payee), sale.sale_id
    return (
        *_move(f"payment:{name}", source, pending, sale.net_minor, currency, code),
        *_move(f"fee:{name}", source, accounts.PLATFORM_FEE, sale.fee_minor, currency, code),
        *_move(f"tax:{name}", source, accounts.TAX_PAYABLE, sale.tax_minor, currency, code),
    )


def due(earning_id: str, payee: str, amount_minor: int, currency: str) -> tuple[Transfer, ...]:
    """What is left of an earning has waited long enough."""
    pending, available = accounts.earned_pending(payee), accounts.earned_available(payee)
    return _move(f"available:{earning_id}", pending, available, amount_minor, currency, "available")


# --- what goes back ---------------------------------------------------------------------------------------


def part_name(subject_id: str, gone_before_minor: int, back_before: int) -> str:
    """Of a part that goes back. It holds the sum gone before, so that each further part is an event of its own and a repeat
    is the same one; where something came back before (`back_before` times: refunds that failed, money that a bank gave
    back), also that number, since the same sum is then reached again."""
    return f"{subject_id}:{gone_before_minor}" + (f":{back_before}" if back_before else "")


def refund(
    sale: Sale, gone_before_minor: int, amount_minor: int, share: Share, *, back_before: int = 0
) -> tuple[Transfer, ...]:
    """Back to the payer. `back_before`: see `part_name`."""
    name = part_name(sale.sale_id, gone_before_minor, back_before)
    parts = parts_of(sale, gone_before_minor + amount_minor) - parts_of(sale, gone_before_minor)
    return _given_back("refund", name, sale, parts, share)


def dispute_lost(
    loss_id: str, sale: Sale, gone_before_minor: int, amount_minor: int, share: Share
) -> tuple[Transfer, ...]:
    """The payer's bank took so much of the sale back."""
    parts = parts_of(sale, gone_before_minor + amount_minor) - parts_of(sale, gone_before_minor)
    return _given_back("dispute_lost", loss_id, sale, parts, share)


def _given_back(code: str, name: str, sale: Sale, parts: Parts, share: Share) -> tuple[Transfer, ...]:
    """The payee's part out of what is left of the sale; what the payee no longer has is their debt."""
    to, currency, payee = sale.paid_by, sale.currency, sale.payee
    of = taken(share, parts.net_minor, by_dispute=code == "dispute_lost")
    place, reserve, debt = (
        _PLACES[share.place](payee),
        accounts.dispute_reserve(payee),
        accounts.host_debt(payee),
    )
    return (
        *_move(f"{code}:{name}", place, to, of.own_minor, currency, code),
        *_move(f"{code}_frozen:{name}", reserve, to, of.frozen_minor, currency, code),
        *_move(f"{code}_debt:{name}", debt, to, of.debt_minor, currency, code),
        *_move(f"{code}_fee:{name}", accounts.PLATFORM_FEE, to, parts.fee_minor, currency, code),
        *_move(f"{code}_tax:{name}", accounts.TAX_PAYABLE, to, parts.tax_minor, currency, code),
    )


def refund_failed(  # noqa: PLR0917 - plain data of one event
    refund_id: str, sale: Sale, gone_before_minor: int, amount_minor: int, place: Place, debt_minor: int
) -> tuple[Transfer, ...]:
    """A refund of `amount_minor` that was booked came back. `gone_before_minor`: with it; `debt_minor`: what the payee
    owes of the sale, which is paid back first."""
    parts = parts_of(sale, gone_before_minor) - parts_of(sale, gone_before_minor - amount_minor)
    return _come_back("unrefund", refund_id, sale, parts, place, debt_minor)


def dispute_returned(  # noqa: PLR0917 - plain data of one event
    back_id: str, sale: Sale, gone_before_minor: int, amount_minor: int, place: Place, debt_minor: int
) -> tuple[Transfer, ...]:
    """The payer's bank gave back `amount_minor` of what was booked as lost; the rest as of a refund that failed."""
    parts = parts_of(sale, gone_before_minor) - parts_of(sale, gone_before_minor - amount_minor)
    return _come_back("reinstated", back_id, sale, parts, place, debt_minor)


def _come_back(  # noqa: PLR0917 - plain data of one event
    code: str, name: str, sale: Sale, parts: Parts, place: Place, debt_minor: int
) -> tuple[Transfer, ...]:
    back, currency = sale.paid_by, sale.currency
    repaid_minor = min(parts.net_minor, max(0, debt_minor))
    own, debt = _PLACES[place](sale.payee), accounts.host_debt(sale.payee)
    return (
        *_move(f"{code}:{name}", back, own, parts.net_minor - repaid_minor, currency, code),
        *_move(f"{code}_debt:{name}", back, debt, repaid_minor, currency, code),
        *_move(f"{code}_fee:{name}", back, accounts.PLATFORM_FEE, parts.fee_minor, currency, code),
        *_move(f"{code}_tax:{name}", back, accounts.TAX_PAYABLE, parts.tax_minor, currency, code),
    )


def frozen(
    freeze_id: str, payee: str, place: Place, amount_minor: int, currency: str
) -> tuple[Transfer, ...]:
    """A dispute was opened: what of the sale it is about waits for its outcome. Below zero: so much waits no more, and
    goes back to its place."""
    own, reserve = _PLACES[place](payee), accounts.dispute_reserve(payee)
    if amount_minor < 0:
        return _move(f"unfreeze:{freeze_id}", reserve, own, -amount_minor, currency, "unfreeze")
    return _move(f"freeze:{freeze_id}", own, reserve, amount_minor, currency, "freeze")


# --- wallets ----------------------------------------------------------------------------------------------


def topped_up(
    order_id: str, user_id: str, amount_minor: int, bonus_minor: int, currency: str, *, fee_minor: int = 0
) -> tuple[Transfer, ...]:
    """A person's money came in, with what the platform adds to it; or without `fee_minor` of it, which it keeps."""
    wallet, stripe = accounts.wallet(user_id), accounts.STRIPE_CLEARING
    return (
        *_move(f"topup:{order_id}", stripe, wallet, amount_minor, currency, "topup"),
        *_move(f"topup_fee:{order_id}", stripe, accounts.PLATFORM_FEE, fee_minor, currency, "topup"),
        *_move(f"bonus:{order_id}", accounts.PROMO, wallet, bonus_minor, currency, "bonus"),
    )


@dataclass(frozen=True, slots=True)
class Gone:
    """A part of a top-up that went back to who paid it, or came back from there. `name` and `code`: of the refund, or of the
    dispute that was lost. `money_minor` of the credits had been paid for, `bonus_minor` were a gift, `fee_minor` was what
    the platform kept."""

    name: str
    code: Literal["refund", "dispute_lost"]
    money_minor: int
    bonus_minor: int
    fee_minor: int


REFUND_HOLD = "refund_hold"


def refund_hold_ids(refund_id: str) -> tuple[str, str]:
    """Of what is held for a refund of a top-up: the money's part, the gift's part."""
    return f"{REFUND_HOLD}:{refund_id}", f"{REFUND_HOLD}_bonus:{refund_id}"


def topup_refund_held(
    refund_id: str, user_id: str, money_minor: int, bonus_minor: int, currency: str
) -> tuple[Transfer, ...]:
    """A refund of a top-up is on its way: its credits cannot be spent. It never runs out by itself."""
    wallet, (money, bonus) = accounts.wallet(user_id), refund_hold_ids(refund_id)
    held = (
        *_move(money, wallet, accounts.STRIPE_CLEARING, money_minor, currency, REFUND_HOLD),
        *_move(bonus, wallet, accounts.PROMO, bonus_minor, currency, REFUND_HOLD),
    )
    return tuple(replace(one, kind="hold") for one in held)


DISPUTE_HOLD = "dispute_hold"


def topup_frozen(
    freeze_id: str, user_id: str, money_minor: int, bonus_minor: int, currency: str
) -> tuple[Transfer, ...]:
    """A bank looks into a top-up: so much of its credits cannot be spent before the outcome. `freeze_id`: each change of
    it is one of its own. It never runs out by itself."""
    wallet, name = accounts.wallet(user_id), f":{freeze_id}"
    frozen = (
        *_move(DISPUTE_HOLD + name, wallet, accounts.STRIPE_CLEARING, money_minor, currency, DISPUTE_HOLD),
        *_move(f"{DISPUTE_HOLD}_bonus{name}", wallet, accounts.PROMO, bonus_minor, currency, DISPUTE_HOLD),
    )
    return tuple(replace(one, kind="hold") for one in frozen)


def topup_released(held: Iterable[Transfer]) -> tuple[Transfer, ...]:
    """Nothing came of it; of what a dispute froze likewise."""
    return tuple(voiding(one, f"void:{one.id}") for one in held)


def topup_gone(
    gone: Gone, user_id: str, available_minor: int, currency: str, held: Iterable[Transfer] = ()
) -> tuple[Transfer, ...]:
    """Out of what was held for it, and then of what the wallet has available; what of the money is not there is owed by the
    person, what of the gift is not there is let go. What is held beyond it is available again."""
    name, code, stripe = gone.name, gone.code, accounts.STRIPE_CLEARING
    wallet, owed = accounts.wallet(user_id), accounts.receivable(user_id)
    holds = tuple(held)
    of_money = _posted([one for one in holds if one.credit == stripe], gone.money_minor, code)
    of_bonus = _posted([one for one in holds if one.credit != stripe], gone.bonus_minor, "unbonus")
    posted_minor, posted_bonus_minor = _sum(of_money), _sum(of_bonus)
    free_minor = max(0, available_minor) + _sum(holds) - posted_minor - posted_bonus_minor
    own_minor = min(gone.money_minor - posted_minor, free_minor)
    bonus_minor = min(gone.bonus_minor - posted_bonus_minor, free_minor - own_minor)
    short_minor = gone.money_minor - posted_minor - own_minor
    return (
        *of_money,
        *of_bonus,
        *_move(f"{code}:{name}", wallet, stripe, own_minor, currency, code),
        *_move(f"{code}_short:{name}", owed, stripe, short_minor, currency, code),
        *_move(f"{code}_fee:{name}", accounts.PLATFORM_FEE, stripe, gone.fee_minor, currency, code),
        *_move(f"unbonus:{name}", wallet, accounts.PROMO, bonus_minor, currency, "unbonus"),
    )


def _posted(holds: Iterable[Transfer], minor: int, code: str) -> tuple[Transfer, ...]:
    """So much out of the holds, one after the other; what is left of each is released."""
    posts = []
    for hold in holds:
        taken_minor = min(hold.amount_minor, minor)
        word = "post" if taken_minor else "void"
        posts.append(replace(posting(hold, taken_minor, f"{word}:{hold.id}"), code=code))
        minor -= taken_minor
    return tuple(posts)


def _sum(transfers: Iterable[Transfer]) -> int:
    return sum(one.amount_minor for one in transfers)


def topup_back(gone: Gone, user_id: str, owed_minor: int, currency: str) -> tuple[Transfer, ...]:
    """A refund of a top-up came back (`name` is the refund's), or its bank gave back what it had taken: the other way round,
    what the person owes first."""
    name, stripe = gone.name, accounts.STRIPE_CLEARING
    code = "unrefund" if gone.code == "refund" else "reinstated"
    wallet, owed = accounts.wallet(user_id), accounts.receivable(user_id)
    repaid_minor = min(gone.money_minor, max(0, owed_minor))
    return (
        *_move(f"{code}:{name}", stripe, wallet, gone.money_minor - repaid_minor, currency, code),
        *_move(f"{code}_short:{name}", stripe, owed, repaid_minor, currency, code),
        *_move(f"{code}_fee:{name}", stripe, accounts.PLATFORM_FEE, gone.fee_minor, currency, code),
        *_move(f"rebonus:{name}", accounts.PROMO, wallet, gone.bonus_minor, currency, "rebonus"),
    )


def shortfall_repaid(
    repayment_id: str, user_id: str, amount_minor: int, currency: str
) -> tuple[Transfer, ...]:
    """Credits pay what the person owes."""
    wallet, owed = accounts.wallet(user_id), accounts.receivable(user_id)
    return _move(f"repaid:{repayment_id}", wallet, owed, amount_minor, currency, "repaid")


def platform_credited(
    transfer_id: str, user_id: str, amount_minor: int, currency: str
) -> tuple[Transfer, ...]:
    """Credits that the platform itself gives (self-managed balances)."""
    wallet, code = accounts.wallet(user_id), "platform_credit"
    return _move(f"credit:{transfer_id}", accounts.PLATFORM_CREDIT, wallet, amount_minor, currency, code)


def platform_debited(
    transfer_id: str, user_id: str, amount_minor: int, currency: str
) -> tuple[Transfer, ...]:
    """Credits that the platform itself takes."""
    wallet, code = accounts.wallet(user_id), "platform_debit"
    return _move(f"debit:{transfer_id}", wallet, accounts.PLATFORM_CREDIT, amount_minor, currency, code)


@dataclass(frozen=True, slots=True)
class WalletWindow:
    """A stretch of a stay, held on a wallet."""

    window_id: str
    pass_id: str
    user_id: str
    held_minor: int
    currency: str
    expires_at_s: int | None = None


def window_held(window: WalletWindow) -> tuple[Transfer, ...]:
    return (
        Transfer(
            id=f"hold:{window.window_id}",
            debit=accounts.wallet(window.user_id),
            credit=accounts.stay_hold(window.pass_id),
            amount_minor=window.held_minor,
            currency=window.currency,
            code="window",
            kind="hold",
            expires_at_s=window.expires_at_s,
        ),
    )


def window_settled(window: WalletWindow, charged_minor: int) -> tuple[Transfer, ...]:
    """`charged_minor` of the hold is taken, the rest released; nothing of it: `void:{window}`."""
    (hold,) = window_held(window)
    word = "post" if charged_minor else "void"
    return (posting(hold, charged_minor, f"{word}:{window.window_id}"),)


# --- to the payee, and Stripe's part ----------------------------------------------------------------------


def paid_out(payout_id: str, payee: str, amount_minor: int, currency: str) -> tuple[Transfer, ...]:
    """Transferred to the payee's account at Stripe."""
    available, stripe = accounts.earned_available(payee), accounts.STRIPE_CLEARING
    return _move(f"payout:{payout_id}", available, stripe, amount_minor, currency, "payout")


def payout_reversed(  # noqa: PLR0917 - plain data of one event
    payout_id: str,
    number: int,
    payee: str,
    amount_minor: int,
    debt_minor: int,
    currency: str,
    *,
    place: Place,
) -> tuple[Transfer, ...]:
    """Taken back from the payee's account; `debt_minor` of it pays what they owe, the rest is theirs again. `place`: where
    the sale is by now; what comes back while a bank looks into the payment waits with it."""
    stripe, name = accounts.STRIPE_CLEARING, f"{payout_id}:{number}"
    debt, own = accounts.host_debt(payee), _PLACES[place](payee)
    own_minor = amount_minor - debt_minor
    return (
        *_move(f"reversal:{name}", stripe, own, own_minor, currency, "reversal"),
        *_move(f"reversal_debt:{name}", stripe, debt, debt_minor, currency, "reversal"),
    )


def debt_withheld(
    earning_id: str, number: int, payee: str, amount_minor: int, currency: str
) -> tuple[Transfer, ...]:
    """A payee's debt is paid out of a later earning."""
    available, debt = accounts.earned_available(payee), accounts.host_debt(payee)
    return _move(f"withheld:{earning_id}:{number}", available, debt, amount_minor, currency, "withheld")


def stripe_fee(balance_transaction_id: str, fee_minor: int, currency: str) -> tuple[Transfer, ...]:
    """What Stripe kept; below zero: what it gave back."""
    name, fees, stripe = (
        f"stripe_fee:{balance_transaction_id}",
        accounts.STRIPE_FEES,
        accounts.STRIPE_CLEARING,
    )
    if fee_minor < 0:
        return _move(name, stripe, fees, -fee_minor, currency, "stripe_fee")
    return _move(name, fees, stripe, fee_minor, currency, "stripe_fee")
