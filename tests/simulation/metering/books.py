"""Orders against a payment service with books of its own. Facts come late, twice, out of order, or after a crash.

The oracle is the service: once the last fact has come, our ledger equals its books, an order was granted exactly when
it was paid, what is open to the payer is what was paid for and neither refunded nor disputed, and no repeat changed
anything.
"""

from dataclasses import dataclass, field, replace
from random import Random

from metering.accounts import STRIPE_CLEARING, earned_pending
from metering.chart import Sale, Share, dispute_lost, dispute_returned, refund, sold
from metering.disputes import MoveDispute, SeenDispute
from metering.ledger import Ledger, Transfer, check_invariants, post_all
from metering.orders import (
    Decision,
    EndAccess,
    ExtendPass,
    GrantPass,
    Nothing,
    OrderSnapshot,
    OrderState,
    PassSnapshot,
    PaymentFact,
    RecordDispute,
    RecordRefund,
    RestoreAccess,
    after,
    decide,
    refund_due,
)

ROOM = "room_1"


def _sale(order: OrderSnapshot) -> Sale:
    return Sale(order.order_id, ROOM, order.amount_minor, "eur")


@dataclass
class Service:
    """One Checkout Session at the payment service, and everything it ever said about it."""

    fact: PaymentFact
    said: list[PaymentFact] = field(default_factory=list)
    refund_keys: dict[str, int] = field(default_factory=dict)

    def move(self, rng: Random) -> None:
        fact = self.fact
        if fact.session_status == "open":
            self.fact = rng.choice([self._declined, self._paid, self._paid, self._expired, self._failed])()
        elif fact.payment_status == "paid" and self.left_minor > 0 and rng.random() < 0.3:
            part_minor = rng.choice([self.left_minor, rng.randrange(1, self.left_minor + 1)])
            opened = SeenDispute(f"dp_{fact.reference}_{len(fact.disputes)}", "open", part_minor)
            self.fact = replace(fact, disputes=(opened, *fact.disputes))
        elif (open_one := self._open_one()) is not None:
            is_lost = rng.random() < 0.5
            closed = replace(
                open_one,
                state="lost" if is_lost else "won",
                lost_minor=open_one.amount_minor if is_lost else 0,
                returned_minor=0 if is_lost else open_one.amount_minor,
            )
            self._change(open_one, closed)
        elif (lost := self._lost_one()) is not None and rng.random() < 0.5:
            self._change(lost, self._reinstated(lost, rng))
        elif fact.payment_status == "paid" and not fact.disputes and rng.random() < 0.5:
            self.refund(rng.randrange(1, fact.amount_minor + 1), f"dashboard:{len(self.said)}")
        self.said.append(self.fact)

    @property
    def left_minor(self) -> int:
        """What neither refunds nor disputes have of it."""
        taken = sum(one.amount_minor if one.state == "open" else one.lost_minor for one in self.fact.disputes)
        return self.fact.amount_minor - self.fact.refunded_minor - taken

    def _open_one(self) -> SeenDispute | None:
        return next((one for one in self.fact.disputes if one.state == "open"), None)

    def _lost_one(self) -> SeenDispute | None:
        return next((one for one in self.fact.disputes if one.lost_minor), None)

    def _reinstated(self, lost: SeenDispute, rng: Random) -> SeenDispute:
        """The bank gives a part of it back after all, or all of it, and may call it won then."""
        back_minor = rng.choice([lost.lost_minor, rng.randrange(1, lost.lost_minor + 1)])
        left_minor = lost.lost_minor - back_minor
        state = "won" if not left_minor and rng.random() < 0.5 else "lost"
        returned_minor = lost.returned_minor + back_minor
        return replace(lost, state=state, lost_minor=left_minor, returned_minor=returned_minor)

    def _change(self, before: SeenDispute, now: SeenDispute) -> None:
        disputes = [now if one is before else one for one in self.fact.disputes]
        self.fact = replace(self.fact, disputes=tuple(disputes))

    def _declined(self) -> PaymentFact:
        return replace(self.fact, intent_status="requires_payment_method")

    def _paid(self) -> PaymentFact:
        return replace(self.fact, session_status="complete", payment_status="paid", intent_status="succeeded")

    def _expired(self) -> PaymentFact:
        return replace(self.fact, session_status="expired", intent_status=None)

    def _failed(self) -> PaymentFact:
        return replace(self.fact, session_status="complete", intent_status="requires_payment_method")

    def refund(self, amount_minor: int, key: str) -> bool:
        """As Stripe does it: at most what is left, and nothing new under a known key."""
        if key in self.refund_keys or amount_minor > self.left_minor or self.is_disputed:
            return False
        self.refund_keys[key] = amount_minor
        self.fact = replace(self.fact, refunded_minor=self.fact.refunded_minor + amount_minor)
        self.said.append(self.fact)
        return True

    @property
    def is_disputed(self) -> bool:
        return any(one.state == "open" or one.lost_minor for one in self.fact.disputes)

    @property
    def kept_minor(self) -> int:
        fact = self.fact
        if fact.payment_status != "paid":
            return 0
        return fact.amount_minor - fact.refunded_minor - sum(one.lost_minor for one in fact.disputes)


class Books:
    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.now_ms = 0
        self.ledger = Ledger()
        self.granted_ms = 0
        self.used_ms = 0
        self.grants: dict[str, int] = {}
        self.backs: dict[str, int] = {}
        self.orders: dict[str, OrderSnapshot] = {}
        self.services: dict[str, Service] = {}
        for number in range(rng.randrange(1, 4)):
            self._order(f"ord_{number}", extends=number > 0)

    def _order(self, order_id: str, *, extends: bool) -> None:
        amount_minor, seconds = self.rng.randrange(50, 5_000), self.rng.choice([900, 1_800])
        knows_session = self.rng.random() < 0.8
        self.orders[order_id] = OrderSnapshot(
            order_id,
            OrderState.OPEN if knows_session else OrderState.NEW,
            amount_minor,
            "eur",
            "test",
            "acct_1",
            seconds,
            extends_pass_id="pass_1" if extends else None,
            checkout_session_id=f"cs_{order_id}" if knows_session else None,
        )
        fact = PaymentFact(
            order_id, f"cs_{order_id}", amount_minor, "eur", "test", "acct_1", "open", "unpaid"
        )
        self.services[order_id] = Service(fact, [fact])

    def go(self) -> None:
        rng = self.rng
        for _ in range(rng.randrange(5, 40)):
            self.now_ms += rng.choice([0, 1_000, 60_000, 400_000])
            order_id = rng.choice(sorted(self.orders))
            what = rng.choice(["move", "hear", "give back"])
            if what == "move":
                self.services[order_id].move(rng)
            elif what == "hear":
                self.hear(order_id)
            else:
                self.give_back(order_id)
            self.use()
        for order_id, service in self.services.items():
            self.apply(order_id, service.fact)
        self.check()

    def hear(self, order_id: str) -> None:
        """Usually the newest fact, sometimes one that was overtaken on its way."""
        said = self.services[order_id].said
        self.apply(order_id, said[-1] if self.rng.random() < 0.6 else self.rng.choice(said))

    def use(self) -> None:
        self.used_ms = min(self.granted_ms, self.used_ms + self.rng.choice([0, 0, 120_000]))

    def give_back(self, order_id: str) -> None:
        order = self.orders[order_id]
        due = refund_due(
            order, self.snapshot(), 0, self.now_ms, waits=False, room_closed=self.rng.random() < 0.2
        )
        if due is not None:
            assert 0 < due.amount_minor <= order.amount_minor - order.refunded_minor
            self.services[order_id].refund(due.amount_minor, f"{order_id}:{order.refunded_minor}")

    def snapshot(self) -> PassSnapshot:
        return PassSnapshot("pass_1", self.granted_ms, self.used_ms)

    def apply(self, order_id: str, fact: PaymentFact) -> None:
        order = self.orders[order_id]
        decided = decide(order, fact)
        if self.rng.random() < 0.1:
            return  # crashed before the commit
        granted_before_ms = self.granted_ms
        stored = after(order, decided)
        gone_minor = order.refunded_minor + order.lost_minor
        for decision in decided:
            gone_minor = self._book(order, gone_minor, decision)
        if stored.granted and not order.granted:
            stored = replace(stored, paid_ms=self.now_ms, granted_before_ms=granted_before_ms)
        self.orders[order_id] = stored
        assert decide(stored, fact) == (Nothing(),), "a repeat decides something"
        assert decide(stored, self.services[order_id].said[0]) == (Nothing(),), (
            "the oldest fact moves it back"
        )

    def _book(self, order: OrderSnapshot, gone_minor: int, decision: Decision) -> int:
        """What has gone of it by then."""
        own_ms = (order.seconds or 0) * 1_000
        match decision:
            case GrantPass() | ExtendPass():
                self.grants[order.order_id] = self.grants.get(order.order_id, 0) + 1
                self.granted_ms += own_ms
                assert post_all(self.ledger, sold(_sale(order))) == "created"
            case RecordRefund(delta_minor):
                share = Share("pending", order.amount_minor - gone_minor)
                back = self.backs.get(order.order_id, 0)
                moved = refund(_sale(order), gone_minor, delta_minor, share, back_before=back)
                assert post_all(self.ledger, moved) == "created"
                gone_minor += delta_minor
            case RecordDispute(_, _, moves):
                for move in moves:
                    assert post_all(self.ledger, self._moved(order, gone_minor, move)) == "created"
                    gone_minor += move.taken_minor - move.back_minor
            case EndAccess():
                self.granted_ms -= own_ms
            case RestoreAccess():
                self.granted_ms += own_ms
        return gone_minor

    def _moved(self, order: OrderSnapshot, gone_minor: int, move: MoveDispute) -> tuple[Transfer, ...]:
        if move.back_minor:
            self.backs[order.order_id] = self.backs.get(order.order_id, 0) + 1
            return dispute_returned(move.back_id, _sale(order), gone_minor, move.back_minor, "pending", 0)
        share = Share("pending", order.amount_minor - gone_minor)
        return dispute_lost(move.loss_id, _sale(order), gone_minor, move.taken_minor, share)

    def check(self) -> None:
        # A crash at the very last fact is made up for by the next reconciliation.
        for order_id, service in self.services.items():
            while decide(self.orders[order_id], service.fact) != (Nothing(),):
                self.apply(order_id, service.fact)
        assert check_invariants(self.ledger) == []
        kept_minor = sum(service.kept_minor for service in self.services.values())
        assert self.ledger.balance_minor(STRIPE_CLEARING, "eur") == kept_minor
        assert self.ledger.balance_minor(earned_pending(ROOM), "eur") == -kept_minor
        open_ms = 0
        for order_id, service in self.services.items():
            fact, order = service.fact, self.orders[order_id]
            is_paid = fact.payment_status == "paid"
            assert self.grants.get(order_id, 0) == int(is_paid) == int(order.granted)
            if is_paid and not service.is_disputed and fact.refunded_minor < fact.amount_minor:
                open_ms += (order.seconds or 0) * 1_000
        assert self.granted_ms == open_ms


def run_seed(seed: int) -> Books:
    """Raises AssertionError when a rule is broken."""
    books = Books(seed)
    books.go()
    return books
