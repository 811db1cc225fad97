"""Runs a table of money: plain lines, one thing each, amounts as they are written on paper in the table's currency.

Who reads or writes them needs no Python: `tables/README.md` lists the lines. Every table begins with empty books, and
what it did is held to the ledger's invariants at its end.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from metering import accounts, chart
from metering.chart import Gone, Parts, Place, Sale, Share, WalletWindow
from metering.disputes import KnownDispute, MoveDispute, SeenDispute, moved, open_minor, to_move
from metering.errors import RefusedError
from metering.funding import Settlement, Window, next_window, settle
from metering.ledger import Balance, Ledger, Transfer, check_invariants, due_to_expire, expiry, post, post_all
from metering.money import Money, currency
from metering.price import Discount, price_parts
from metering.price import Parts as PriceParts
from metering.promotions import Promotion, refusal
from metering.rates import Fee
from metering.tariff import Metered
from metering.wallet import Package, back_for_refund, frozen_by_disputes, unspent_minor

UNITS_S = {"s": 1, "min": 60, "h": 3600, "days": 86_400}
KINDS = accounts.OWING | {"host_debt", "receivable"}
ONES = {
    accounts.STRIPE_CLEARING,
    accounts.PLATFORM_FEE,
    accounts.STRIPE_FEES,
    accounts.TAX_PAYABLE,
    accounts.PROMO,
    accounts.PLATFORM_CREDIT,
    accounts.ROUNDING,
}
GROW_BY_CREDIT = accounts.OWING | {accounts.PLATFORM_FEE, accounts.TAX_PAYABLE}


class WrongLineError(AssertionError):
    """A line that is no line, or whose expectation does not hold; says where."""


@dataclass
class Sold:
    """A sale, how much of it has gone back, and what of the payee's part is where."""

    sale: Sale
    left_minor: int
    gone_minor: int = 0
    debt_minor: int = 0
    place: Place = "pending"
    frozen_minor: int = 0
    disputes: tuple[KnownDispute, ...] = ()


@dataclass
class Bought:
    """A top-up, what of its credits has stayed in the wallet as far as nobody spent it, and what of it is frozen."""

    name: str
    package: Package
    user: str
    stayed_minor: int
    gone_minor: int = 0
    frozen: tuple[Transfer, ...] = ()
    disputes: tuple[KnownDispute, ...] = ()


@dataclass
class PaidOut:
    sold: Sold
    amount_minor: int
    reversals: int = 0


class Table:
    def __init__(self, name: str, text: str) -> None:
        self.name, self.lines = name, text.splitlines()
        self.code, self.now_s, self.ledger = "eur", 0, Ledger()
        self.windows: dict[str, WalletWindow] = {}
        self.sales: dict[str, Sold] = {}
        self.topups: dict[str, Bought] = {}
        self.payouts: dict[str, PaidOut] = {}
        self.codes: dict[str, Promotion] = {}
        self.discount: Discount | None = None
        self.parts: PriceParts | None = None
        self.tariff: Metered | None = None
        self.card: list[Window] = []
        self.settlement: Settlement | None = None
        self.wanted, self.expectations = "created", 0

    def run(self) -> None:
        for number, raw in enumerate(self.lines, 1):
            line = " ".join(raw.partition("#")[0].split())
            if line:
                try:
                    self._do(line)
                except Exception as error:
                    raise WrongLineError(f"{self.name}:{number}: {line}: {error}") from error
        if not self.expectations:
            raise WrongLineError(f"{self.name}: expects nothing")
        wrong = check_invariants(self.ledger)
        if wrong:
            raise WrongLineError(f"{self.name}: {wrong}")

    def _do(self, line: str) -> None:
        answers = re.fullmatch(r"answers (\w+): (.+)", line)
        self.wanted, line = answers.groups() if answers else ("created", line)
        for pattern, do in PHRASES:
            found = pattern.fullmatch(line)
            if found:
                self.expectations += line.startswith("expect") or answers is not None
                said = {name: word for name, word in found.groupdict().items() if word is not None}
                try:
                    do(self, **said)
                except RefusedError as error:
                    self.answer(error.code)
                return
        raise WrongLineError("no such line")

    # --- words --------------------------------------------------------------------------------------------

    def minor(self, text: str) -> int:
        """As on paper, with all the currency's digits: 12.50, 500 (jpy), 5.120 (kwd)."""
        row = currency(self.code)
        shape = r"\d+" + (rf"\.\d{{{row.exponent}}}" if row.exponent else "")
        if not re.fullmatch(shape, text):
            raise WrongLineError(f"an amount in {self.code} has {row.exponent} digits after its point")
        minor = int(text.replace(".", ""))
        if minor % row.step_minor:
            raise WrongLineError(f"an amount in {self.code} is a multiple of {row.step_minor}")
        return minor

    def account(self, name: str) -> str:
        kind, _, whose = name.partition(":")
        if not (name in ONES or (kind in KINDS and whose)):
            raise WrongLineError(f"no such account: {name}")
        return name

    def equal(self, found_minor: int, amount: str) -> None:
        if found_minor != self.minor(amount):
            sign, written = "-" * (found_minor < 0), Money(abs(found_minor), self.code).decimal()
            raise WrongLineError(f"it is {sign}{written}")

    def book(self, transfers: tuple[Transfer, ...]) -> bool:
        """Whether it was booked now; anything else than the line says is wrong."""
        self.answer(post_all(self.ledger, transfers))
        return self.wanted == "created"

    def answer(self, given: str) -> None:
        if given != self.wanted:
            raise WrongLineError(f"answers {given}")

    # --- time, wallets and holds --------------------------------------------------------------------------

    def in_currency(self, code: str) -> None:
        self.code = currency(code).code

    def tick(self, count: str, unit: str) -> None:
        self.now_s += int(count) * UNITS_S[unit]
        for hold in due_to_expire(self.ledger, self.now_s):
            assert post(self.ledger, expiry(hold)) == "created"

    def given(self, user: str, amount: str) -> None:
        name = f"given{len(self.ledger.transfers)}"
        self.book(chart.platform_credited(name, user, self.minor(amount), self.code))

    def hold(self, name: str, amount: str, user: str, count: str, unit: str) -> None:
        expires_s = self.now_s + int(count) * UNITS_S[unit]
        window = WalletWindow(name, "call", user, self.minor(amount), self.code, expires_s)
        if self.book(chart.window_held(window)):
            self.windows[name] = window

    def post(self, name: str, amount: str) -> None:
        self.book(chart.window_settled(self.windows[name], self.minor(amount)))

    def void(self, name: str) -> None:
        self.book(chart.window_settled(self.windows[name], 0))

    def topup(self, name: str, amount: str, user: str, credit: str) -> None:
        package = Package(self.minor(amount), self.minor(credit), self.code)
        paid, bonus, markup = package.paid_credit_minor, package.bonus_minor, package.markup_minor
        if self.book(chart.topped_up(name, user, paid, bonus, self.code, fee_minor=markup)):
            self.topups[name] = Bought(name, package, user, package.credit_minor)

    def topup_back(self, amount: str, name: str) -> None:
        bought, minor = self.topups[name], self.minor(amount)
        self._take_credits(bought, f"{name}:{bought.gone_minor}", "refund", minor)

    def _take_credits(
        self, bought: Bought, name: str, code: Literal["refund", "dispute_lost"], minor: int
    ) -> None:
        back = back_for_refund(bought.package, bought.gone_minor, minor)
        gone = Gone(name, code, back.money_minor, back.bonus_minor, back.fee_minor)
        before, frozen = self._wallet(bought), bought.frozen
        moved = chart.topup_gone(gone, bought.user, before.available_minor, self.code, frozen)
        if not self.book(moved):
            return
        bought.gone_minor += minor
        bought.stayed_minor -= self._wallet(bought).minor - before.minor
        taken = sum(one.amount_minor for one in moved if one.pending_id in {hold.id for hold in frozen})
        bought.frozen = ()
        self._freeze_credits(bought, sum(one.amount_minor for one in frozen) - taken)

    def _wallet(self, bought: Bought) -> Balance:
        return self.ledger.balance(accounts.wallet(bought.user), self.code)

    def dispute_topup(self, dispute: str, amount: str, name: str) -> None:
        self._hear_of_topup(self.topups[name], SeenDispute(dispute, "open", self.minor(amount)))

    def win_topup(self, dispute: str, name: str) -> None:
        known = next(one for one in self.topups[name].disputes if one.dispute_id == dispute)
        self._hear_of_topup(self.topups[name], SeenDispute(dispute, "won", known.amount_minor))

    def reinstate_topup(self, amount: str, dispute: str, name: str) -> None:
        bought, back = self.topups[name], self.minor(amount)
        known = next(one for one in bought.disputes if one.dispute_id == dispute)
        self._hear_of_topup(bought, _returned(known, back))

    def lose_topup(self, dispute: str, name: str) -> None:
        known = next(one for one in self.topups[name].disputes if one.dispute_id == dispute)
        seen = SeenDispute(dispute, "lost", known.amount_minor, known.amount_minor)
        self._hear_of_topup(self.topups[name], seen)

    def _hear_of_topup(self, bought: Bought, seen: SeenDispute) -> None:
        (move,) = to_move(bought.disputes, [seen], bought.package.price_minor - bought.gone_minor)
        bought.disputes = moved(bought.disputes, [move])
        if move.taken_minor:
            self._take_credits(bought, move.loss_id, "dispute_lost", move.taken_minor)
        if move.back_minor:
            self._give_credits(bought, move)
        self._freeze_credits(bought, 0)

    def _give_credits(self, bought: Bought, move: MoveDispute) -> None:
        bought.gone_minor -= move.back_minor
        back = back_for_refund(bought.package, bought.gone_minor, move.back_minor)
        bonus = min(
            back.bonus_minor, bought.package.bonus_minor - self.ledger.balance_minor("promo", self.code)
        )
        gone = Gone(move.back_id, "dispute_lost", back.money_minor, bonus, back.fee_minor)
        owed = self.ledger.balance_minor(accounts.receivable(bought.user), self.code)
        before = self._wallet(bought).minor
        assert self.book(chart.topup_back(gone, bought.user, owed, self.code))
        bought.stayed_minor += before - self._wallet(bought).minor

    def _freeze_credits(self, bought: Bought, released_minor: int) -> None:
        names = list(self.topups)
        later = [
            one
            for one in self.topups.values()
            if one.user == bought.user and names.index(one.name) > names.index(bought.name)
        ]
        later_minor = sum(one.stayed_minor - sum(hold.amount_minor for hold in one.frozen) for one in later)
        available_minor = self._wallet(bought).available_minor
        released_minor = min(released_minor, available_minor)
        frozen_minor = sum(hold.amount_minor for hold in bought.frozen) + released_minor
        available_minor -= released_minor
        unspent = unspent_minor(available_minor, later_minor, frozen_minor)
        wanted = frozen_by_disputes(bought.package, bought.gone_minor, open_minor(bought.disputes), unspent)
        name = f"{bought.name}:{len(self.ledger.transfers)}"
        holds = chart.topup_frozen(name, bought.user, wanted.money_minor, wanted.bonus_minor, self.code)
        changes = (*chart.topup_released(bought.frozen), *holds)
        assert not changes or self.book(changes)
        bought.frozen = holds

    # --- prices -------------------------------------------------------------------------------------------

    def price(
        self, amount: str, percent: str = "0", fixed: str | None = None, top: str | None = None
    ) -> None:
        fixed_minor = 0 if fixed is None else self.minor(fixed)
        fee = Fee(round(float(percent) * 100), fixed_minor, on_top=top is not None)
        self.parts = price_parts(Money(self.minor(amount), self.code), fee, self.discount)
        self.discount = None

    def new_code(
        self, code: str, off: str, count: str | None = None, unit: str = "s", uses: str | None = None
    ) -> None:
        is_percent = off.endswith("%")
        discount = (
            Discount(percent=int(off[:-1])) if is_percent else Discount(None, self.minor(off), self.code)
        )
        until_s = None if count is None else self.now_s + int(count) * UNITS_S[unit]
        left = None if uses is None else int(uses)
        self.codes[code] = Promotion(code, code, discount, uses_left=left, expires_at_s=until_s)

    def enter(self, code: str) -> None:
        promotion = self.codes[code]
        refused = refusal(
            promotion,
            now_s=self.now_s,
            room_id="room",
            currency=self.code,
            is_known_person=False,
            used_before=False,
        )
        self.answer(refused or "created")
        if refused is None:
            left = promotion.uses_left
            self.codes[code] = replace(promotion, uses_left=None if left is None else left - 1)
            self.discount = promotion.discount

    def expect_price(self, part: str, amount: str) -> None:
        assert self.parts is not None, "no price yet"
        found = {
            "pays": self.parts.amount_minor,
            "discount": self.parts.discount_minor,
            "fee": self.parts.fee_minor,
            "net": self.parts.net_minor,
        }
        self.equal(found[part], amount)

    # --- sales and what goes back -------------------------------------------------------------------------

    def sell(self, name: str, payee: str, through: str | None = None, payer: str | None = None) -> None:
        assert self.parts is not None, "no price yet"
        sale = Sale(name, payee, self.parts.amount_minor, self.code, self.parts.fee_minor)
        if payer is not None:
            sale = replace(sale, paid_by=self.account(payer))
        if self.book(chart.sold(sale, None if through is None else self.account(through))):
            self.sales[name] = Sold(sale, sale.net_minor)

    def refund(self, amount: str, name: str) -> None:
        sold, minor = self.sales[name], self.minor(amount)
        share = Share(sold.place, sold.left_minor, sold.frozen_minor)
        if self.book(chart.refund(sold.sale, sold.gone_minor, minor, share)):
            self._gone(sold, minor)
            self._freeze(sold)

    def send_back(self, name: str, refunded: str, amount: str) -> None:
        sold, minor = self.sales[name], self.minor(amount)
        failed = chart.refund_failed(refunded, sold.sale, sold.gone_minor, minor, sold.place, sold.debt_minor)
        if self.book(failed):
            self._come_back(sold, minor)
            self._freeze(sold)

    def _come_back(self, sold: Sold, minor: int) -> None:
        parts = chart.parts_of(sold.sale, sold.gone_minor)
        sold.gone_minor -= minor
        back = (parts - chart.parts_of(sold.sale, sold.gone_minor)).net_minor
        repaid = min(back, sold.debt_minor)
        sold.debt_minor -= repaid
        sold.left_minor += back - repaid

    def _gone(self, sold: Sold, minor: int, *, by_dispute: bool = False) -> None:
        before, after = sold.gone_minor, sold.gone_minor + minor
        parts: Parts = chart.parts_of(sold.sale, after) - chart.parts_of(sold.sale, before)
        share = Share(sold.place, sold.left_minor, sold.frozen_minor)
        of = chart.taken(share, parts.net_minor, by_dispute=by_dispute)
        sold.left_minor -= of.own_minor
        sold.frozen_minor -= of.frozen_minor
        sold.debt_minor += of.debt_minor
        sold.gone_minor = after

    def dispute(self, name: str, dispute: str | None = None, amount: str | None = None) -> None:
        sold = self.sales[name]
        left_minor = sold.sale.amount_minor - sold.gone_minor - open_minor(sold.disputes)
        amount_minor = left_minor if amount is None else self.minor(amount)
        self._hear(sold, SeenDispute(dispute or name, "open", amount_minor))

    def win(self, name: str, dispute: str | None = None) -> None:
        sold = self.sales[name]
        known = next(one for one in sold.disputes if one.dispute_id == (dispute or name))
        self._hear(sold, SeenDispute(known.dispute_id, "won", known.amount_minor))

    def lose(self, name: str, dispute: str | None = None) -> None:
        sold = self.sales[name]
        known = next(one for one in sold.disputes if one.dispute_id == (dispute or name))
        self._hear(sold, SeenDispute(known.dispute_id, "lost", known.amount_minor, known.amount_minor))

    def reinstate(self, amount: str, dispute: str, name: str) -> None:
        sold = self.sales[name]
        known = next(one for one in sold.disputes if one.dispute_id == dispute)
        self._hear(sold, _returned(known, self.minor(amount)))

    def _hear(self, sold: Sold, seen: SeenDispute) -> None:
        """What a fact about one dispute of a sale books."""
        (move,) = to_move(sold.disputes, [seen], sold.sale.amount_minor - sold.gone_minor)
        sold.disputes = moved(sold.disputes, [move])
        if move.taken_minor:
            share = Share(sold.place, sold.left_minor, sold.frozen_minor)
            lost = chart.dispute_lost(move.loss_id, sold.sale, sold.gone_minor, move.taken_minor, share)
            assert self.book(lost)
            self._gone(sold, move.taken_minor, by_dispute=True)
        if move.back_minor:
            back = chart.dispute_returned(
                move.back_id, sold.sale, sold.gone_minor, move.back_minor, sold.place, sold.debt_minor
            )
            assert self.book(back)
            self._come_back(sold, move.back_minor)
        self._freeze(sold)

    def _freeze(self, sold: Sold) -> None:
        about_minor = min(sold.gone_minor + open_minor(sold.disputes), sold.sale.amount_minor)
        parts = chart.parts_of(sold.sale, about_minor) - chart.parts_of(sold.sale, sold.gone_minor)
        delta = min(parts.net_minor, sold.left_minor + sold.frozen_minor) - sold.frozen_minor
        name, payee = f"{sold.sale.sale_id}:{len(self.ledger.transfers)}", sold.sale.payee
        if delta:
            assert self.book(chart.frozen(name, payee, sold.place, delta, self.code))
        sold.left_minor -= delta
        sold.frozen_minor += delta

    # --- to the payee -------------------------------------------------------------------------------------

    def due(self, name: str) -> None:
        sold = self.sales[name]
        if self.book(chart.due(name, sold.sale.payee, sold.left_minor, self.code)):
            sold.place = "available"

    def payout(self, name: str, amount: str, sale: str) -> None:
        sold, minor = self.sales[sale], self.minor(amount)
        if self.book(chart.paid_out(name, sold.sale.payee, minor, self.code)):
            sold.left_minor -= minor
            self.payouts[name] = PaidOut(sold, minor)

    def reverse(self, amount: str, name: str) -> None:
        paid, minor = self.payouts[name], self.minor(amount)
        sold, number = paid.sold, paid.reversals + 1
        debt = min(minor, sold.debt_minor)
        payee, place = sold.sale.payee, sold.place
        if self.book(chart.payout_reversed(name, number, payee, minor, debt, self.code, place=place)):
            paid.reversals, sold.debt_minor = number, sold.debt_minor - debt
            sold.left_minor += minor - debt
            self._freeze(sold)

    def withhold(self, amount: str, name: str, debtor: str) -> None:
        sold, owing, minor = self.sales[name], self.sales[debtor], self.minor(amount)
        if self.book(chart.debt_withheld(name, 1, sold.sale.payee, minor, self.code)):
            sold.left_minor -= minor
            owing.debt_minor -= minor

    def stripe_keeps(self, amount: str, name: str) -> None:
        self.book(chart.stripe_fee(name, self.minor(amount), self.code))

    # --- pay for use --------------------------------------------------------------------------------------

    def rate(self, amount: str) -> None:
        self.tariff = Metered(self.minor(amount), self.code, window_s=60)

    def card_holds(self, amount: str, minutes: str) -> None:
        assert self.tariff is not None, "no rate yet"
        tariff = replace(self.tariff, window_s=int(minutes) * 60)
        granted_ms = self.card[-1].ends_ms if self.card else 0
        asked = next_window(tariff, self.card, granted_ms=granted_ms)
        self.card.append(Window(asked.number, asked.begins_ms, asked.length_ms, asked.held_minor, "held"))
        self.equal(asked.held_minor, amount)

    def over(self, minutes: str, seconds: str, again: str | None = None) -> None:
        assert self.tariff is not None, "no rate yet"
        used_ms = (int(minutes) * 60 + int(seconds)) * 1000
        least = currency(self.code).minimum_minor
        self.settlement = settle(
            self.tariff, self.card, used_ms, minimum_minor=least, waived_today=again is not None
        )

    def expect_card(self, what: str, amount: str) -> None:
        assert self.settlement is not None, "not over yet"
        released = sum(one.released_minor for one in self.settlement.charges)
        self.equal(self.settlement.charged_minor if what == "charged" else released, amount)

    def expect_waived(self) -> None:
        assert self.settlement is not None, "not over yet"
        assert self.settlement.waived, "it is not let go"

    # --- what is expected ---------------------------------------------------------------------------------

    def expect_moved(self, account: str, amount: str) -> None:
        name = self.account(account)
        debits = self.ledger.balance_minor(name, self.code)
        self.equal(-debits if name.partition(":")[0] in GROW_BY_CREDIT else debits, amount)

    def expect_free(self, account: str, amount: str) -> None:
        self.equal(self.ledger.balance(self.account(account), self.code).available_minor, amount)

    def expect_held(self, account: str, amount: str) -> None:
        self.equal(self.ledger.held_minor(self.account(account), self.code), amount)


def _returned(known: KnownDispute, back_minor: int) -> SeenDispute:
    """What the bank says of a lost dispute once it has given so much of it back."""
    returned_minor = known.returned_minor + back_minor
    return SeenDispute(
        known.dispute_id, "lost", known.amount_minor, known.amount_minor - returned_minor, returned_minor
    )


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^\\s%]+%?)", words))


# The first that fits is meant; a part in `(…)?` may be left out.
PHRASES: list[tuple[re.Pattern[str], Callable[..., None]]] = [
    (_pattern(words), do)
    for words, do in (
        ("currency {code}", Table.in_currency),
        ("tick {count} {unit}", Table.tick),
        ("account wallet:{user} {amount}", Table.given),
        ("hold {name} {amount} of wallet:{user} for {count} {unit}", Table.hold),
        ("post {name} {amount}", Table.post),
        ("void {name}", Table.void),
        ("topup {name} {amount} to wallet:{user} gives {credit}", Table.topup),
        ("refund {amount} of topup {name}", Table.topup_back),
        (r"price {amount}( fee (?P<percent>[\d.]+)%( and {fixed})?(?P<top> on top)?)?", Table.price),
        ("code {code} takes {off}( for {count} {unit})?( {uses} times)?", Table.new_code),
        ("enter {code}", Table.enter),
        ("sell {name} to {payee}( out of {through} of {payer})?", Table.sell),
        ("dispute {dispute} {amount} of topup {name}", Table.dispute_topup),
        ("win {dispute} of topup {name}", Table.win_topup),
        ("lose {dispute} of topup {name}", Table.lose_topup),
        ("refund {amount} of {name}", Table.refund),
        ("dispute {name}", Table.dispute),
        ("dispute {dispute} {amount} of {name}", Table.dispute),
        ("win {name}", Table.win),
        ("win {dispute} of {name}", Table.win),
        ("lose {name}", Table.lose),
        ("lose {dispute} of {name}", Table.lose),
        ("reinstate {amount} of {dispute} of topup {name}", Table.reinstate_topup),
        ("reinstate {amount} of {dispute} of {name}", Table.reinstate),
        ("refund {refunded} {amount} of {name} comes back", Table.send_back),
        ("due {name}", Table.due),
        ("pay out {name} {amount} of {sale}", Table.payout),
        ("reverse {amount} of {name}", Table.reverse),
        ("withhold {amount} of {name} for {debtor}", Table.withhold),
        ("stripe keeps {amount} of {name}", Table.stripe_keeps),
        ("rate {amount} a minute", Table.rate),
        ("card holds {amount} for {minutes} min", Table.card_holds),
        (r"over after (?P<minutes>\d+):(?P<seconds>\d\d)(?P<again> again)?", Table.over),
        ("expect (?P<part>pays|discount|fee|net) {amount}", Table.expect_price),
        ("expect (?P<what>charged|released) {amount}", Table.expect_card),
        ("expect let go", Table.expect_waived),
        ("expect {account} {amount}", Table.expect_moved),
        ("expect {account} {amount} free", Table.expect_free),
        ("expect {account} {amount} held", Table.expect_held),
    )
]
