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
    """`challenge`: the bank wants 3-D Secure first. `settles_later`: a debit that is confirmed days after."""

    name: str
    label: str
    hint: str
    number: str
    decline: Decline | None = None
    challenge: bool = False
    settles_later: bool = False

    @property
    def last4(self) -> str:
        return self.number[-4:]


CHALLENGE_FAILED = Decline(
    "payment_intent_authentication_failure",
    None,
    "The bank could not confirm that this is you. Try again, or pick another card.",
)

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
        ),
        Card(
            "declined",
            "Declined",
            "The bank says no without a reason",
            "4000000000000002",
            Decline("card_declined", "generic_decline", "Your card was declined."),
        ),
        Card(
            "insufficient_funds",
            "Insufficient funds",
            "Not enough money in the account",
            "4000000000009995",
            Decline("card_declined", "insufficient_funds", "Your card has insufficient funds."),
        ),
        Card(
            "expired_card",
            "Expired",
            "The card is past its date",
            "4000000000000069",
            Decline("expired_card", None, "Your card has expired."),
        ),
    )
}

DEBIT = Card(
    "sepa_debit", "Bank debit", "Confirmed or refused later", "DE89370400440532013000", settles_later=True
)

PAYMENT_METHODS = {
    "pm_card_visa": CARDS["succeeds"],
    "pm_card_chargeDeclined": CARDS["declined"],
    "pm_card_visa_chargeDeclined": CARDS["declined"],
    "pm_card_chargeDeclinedInsufficientFunds": CARDS["insufficient_funds"],
    "pm_card_visa_chargeDeclinedInsufficientFunds": CARDS["insufficient_funds"],
    "pm_card_chargeDeclinedExpiredCard": CARDS["expired_card"],
    "pm_card_threeDSecure2Required": CARDS["three_d_secure"],
    "pm_card_authenticationRequired": CARDS["three_d_secure"],
}


def offered(payment_method_types: list[str]) -> list[Card]:
    """What the page shows for a session: the test cards, and the debit where the session accepts it."""
    cards = list(CARDS.values()) if "card" in payment_method_types else []
    return [*cards, DEBIT] if "sepa_debit" in payment_method_types else cards
