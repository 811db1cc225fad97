"""The test cards that the page offers, and what each does. Numbers are the ones Stripe documents for tests."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a bank said no: Stripe's error `code`, the finer `decline_code`, and the sentence payers read."""

    code: str
    decline_code: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Card:
    """`decline`: refused whenever it is used. `challenge`: the bank wants 3-D Secure first.

    What a card does once it is saved: `asks_again` wants 3-D Secure for each payment, `later_decline` is refused then,
    `expires_soon` is past its date after the month in which it was saved. `settles_later`: a debit that is confirmed
    days after.
    """

    name: str
    label: str
    hint: str
    number: str
    decline: Decline | None = None
    challenge: bool = False
    settles_later: bool = False
    asks_again: bool = False
    later_decline: Decline | None = None
    expires_soon: bool = False

    @property
    def last4(self) -> str:
        return self.number[-4:]


CHALLENGE_FAILED = Decline(
    "payment_intent_authentication_failure",
    None,
    "The bank could not confirm that this is you. Try again, or pick another card.",
)
SETUP_CHALLENGE_FAILED = Decline(
    "setup_intent_authentication_failure",
    None,
    "The bank could not confirm that this is you. Try again, or pick another card.",
)
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)
DECLINED = Decline("card_declined", "generic_decline", "Your card was declined.")
NO_FUNDS = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
EXPIRED = Decline("expired_card", None, "Your card has expired.")

CARDS = {
    card.name: card
    for card in (
        Card("succeeds", "Succeeds", "The payment goes through at once", "4242424242424242"),
        Card(
            "three_d_secure",
            "Asks for 3-D Secure",
            "The bank asks you to approve first",
            "4000002760003184",
            challenge=True,
            asks_again=True,
        ),
        Card("declined", "Declined", "The bank says no without a reason", "4000000000000002", DECLINED),
        Card(
            "insufficient_funds",
            "Insufficient funds",
            "Not enough money in the account",
            "4000000000009995",
            NO_FUNDS,
        ),
        Card("expired_card", "Expired", "The card is past its date", "4000000000000069", EXPIRED),
    )
}

# Offered where a card is saved: they differ only when they are charged again.
SAVED_CARDS = {
    card.name: card
    for card in (
        Card(
            "three_d_secure_once",
            "3-D Secure once",
            "The bank asks now, later payments pass",
            "4000002500003155",
            challenge=True,
        ),
        Card(
            "declines_later",
            "Declined later",
            "Works now, is declined when charged again",
            "4000000000000341",
            later_decline=DECLINED,
        ),
        Card(
            "no_funds_later",
            "No funds later",
            "Works now, has no money when charged again",
            "4000008260003178",
            later_decline=NO_FUNDS,
        ),
        Card(
            "expires_soon",
            "Expires this month",
            "Works until the end of the month",
            "4000056655665556",
            expires_soon=True,
        ),
    )
}

DEBIT = Card(
    "sepa_debit", "Bank debit", "Confirmed or refused later", "DE89370400440532013000", settles_later=True
)

ALL = CARDS | SAVED_CARDS | {DEBIT.name: DEBIT}

PAYMENT_METHODS = {
    "pm_card_visa": CARDS["succeeds"],
    "pm_card_chargeDeclined": CARDS["declined"],
    "pm_card_visa_chargeDeclined": CARDS["declined"],
    "pm_card_chargeDeclinedInsufficientFunds": CARDS["insufficient_funds"],
    "pm_card_visa_chargeDeclinedInsufficientFunds": CARDS["insufficient_funds"],
    "pm_card_chargeDeclinedExpiredCard": CARDS["expired_card"],
    "pm_card_threeDSecure2Required": CARDS["three_d_secure"],
    "pm_card_authenticationRequired": CARDS["three_d_secure"],
    "pm_card_authenticationRequiredOnSetup": SAVED_CARDS["three_d_secure_once"],
    "pm_card_chargeCustomerFail": SAVED_CARDS["declines_later"],
}


def offered(payment_method_types: list[str], *, saves: bool = False) -> list[Card]:
    """What the page shows: the test cards, those that matter only once saved where `saves`, and the debit where the
    session accepts it."""
    cards = list(CARDS.values()) if "card" in payment_method_types else []
    if saves and cards:
        cards += SAVED_CARDS.values()
    return [*cards, DEBIT] if "sepa_debit" in payment_method_types else cards
