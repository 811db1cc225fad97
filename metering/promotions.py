"""Promotion codes: may this one be used for this purchase, and what it takes off."""

import re
from dataclasses import dataclass
from typing import Literal

from metering.price import PERCENT_MAX, Discount

CODE = re.compile(r"[A-Z0-9][A-Z0-9-]{2,31}\Z")
PERCENT_MIN = 1
CodeRefusal = Literal[
    "unknown_code", "code_expired", "code_used_up", "code_used", "code_not_here", "code_needs_email"
]


@dataclass(frozen=True, slots=True)
class Promotion:
    """`room_id` None: every room. `uses_left` None: without end. `expires_at_s`: the first second in which it no longer
    holds; None: never."""

    promotion_id: str
    code: str
    discount: Discount
    room_id: str | None = None
    uses_left: int | None = None
    once_per_person: bool = False
    expires_at_s: int | None = None
    active: bool = True


def read_code(text: str) -> str | None:
    """As it is stored: upper case, without blanks around it. None for what can be no code."""
    code = text.strip().upper()
    return code if CODE.match(code) else None


def refusal(
    promotion: Promotion,
    *,
    now_s: int,
    room_id: str,
    currency: str,
    is_known_person: bool,
    used_before: bool,
) -> CodeRefusal | None:
    """Why the code may not be used now; None when it may. `is_known_person`: an account or an e-mail address is there
    to know the person by. `used_before`: that person has used it."""
    if not promotion.active:
        return "unknown_code"
    elsewhere = promotion.room_id is not None and promotion.room_id != room_id
    if elsewhere or promotion.discount.currency not in {None, currency}:
        return "code_not_here"
    if promotion.expires_at_s is not None and now_s >= promotion.expires_at_s:
        return "code_expired"
    if promotion.uses_left is not None and promotion.uses_left <= 0:
        return "code_used_up"
    if promotion.once_per_person:
        return "code_needs_email" if not is_known_person else "code_used" if used_before else None
    return None


def is_discount(discount: Discount) -> bool:
    """Exactly one of a percentage and an amount with its currency, each in its range."""
    if discount.percent is not None:
        is_percent = PERCENT_MIN <= discount.percent <= PERCENT_MAX
        return is_percent and discount.amount_minor is None and discount.currency is None
    return discount.amount_minor is not None and discount.amount_minor > 0 and discount.currency is not None
