"""Accounts of the ledger: their names, and which of them owe somebody.

One account per name and currency in each set of books. An account that owes somebody has a credit balance and never
less than nothing: what is debited from it must be there, open holds counted. The README says what each is for.
"""

STRIPE_CLEARING = "stripe_clearing"
PLATFORM_FEE = "platform_fee"
STRIPE_FEES = "stripe_fees"
TAX_PAYABLE = "tax_payable"
PROMO = "promo"
PLATFORM_CREDIT = "platform_credit"
ROUNDING = "rounding"

# The part of a name before its colon, of accounts that owe somebody: never less than nothing.
OWING = frozenset({"wallet", "hold", "earned_pending", "earned_available", "dispute_reserve"})


def owes_somebody(name: str) -> bool:
    """Whether the account may never have less than nothing."""
    return name.partition(":")[0] in OWING


def wallet(user_id: str) -> str:
    return f"wallet:{user_id}"


def stay_hold(pass_id: str) -> str:
    return f"hold:{pass_id}"


def earned_pending(payee: str) -> str:
    return f"earned_pending:{payee}"


def earned_available(payee: str) -> str:
    return f"earned_available:{payee}"


def dispute_reserve(payee: str) -> str:
    return f"dispute_reserve:{payee}"


def host_debt(payee: str) -> str:
    return f"host_debt:{payee}"


def receivable(user_id: str) -> str:
    return f"receivable:{user_id}"
