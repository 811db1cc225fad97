"""`expand`: ids replaced by the objects that they name."""

from . import checkout, subscriptions
from .errors import StripeError
from .params import Json
from .routing import equals
from .store import Page, Transaction

EXPAND_DEPTH_MAX = 4

# What a bare id in each field stands for, for `expand`.
EXPANDABLE = {
    "balance_transaction": "balance_transaction",
    "charge": "charge",
    "customer": "customer",
    "default_payment_method": "payment_method",
    "failure_balance_transaction": "balance_transaction",
    "invoice": "invoice",
    "latest_charge": "charge",
    "latest_invoice": "invoice",
    "payment_intent": "payment_intent",
    "payment_method": "payment_method",
    "product": "product",
    "setup_intent": "setup_intent",
    "source": None,
    "source_transaction": "charge",
    "subscription": "subscription",
    "transfer": "transfer",
}


def expand(tx: Transaction, answer: Json, paths: list[str]) -> Json:
    """Replace ids by the objects they name, along each dotted path (`payment_intent.latest_charge`)."""
    for path in paths:
        steps = path.split(".")
        if len(steps) > EXPAND_DEPTH_MAX:
            raise StripeError("You cannot expand more than 4 levels of a property.", param="expand")
        _expand_step(tx, answer, steps, path)
    return answer


def _expand_step(tx: Transaction, node: Json, steps: list[str], path: str) -> None:
    if not steps:
        return
    step, rest = steps[0], steps[1:]
    value = _value_to_expand(tx, node, step, path)
    node[step] = value
    for child in value if isinstance(value, list) else [value]:
        if isinstance(child, dict):
            _expand_step(tx, child, rest, path)


def _value_to_expand(tx: Transaction, node: Json, step: str, path: str) -> object:
    if (node.get("object"), step) == ("checkout.session", "line_items"):
        return checkout.line_items(tx, node["id"])
    if (node.get("object"), step) == ("invoice", "payments"):
        return subscriptions.payments_of(tx, node["id"])
    if (node.get("object"), step) == ("charge", "refunds"):
        return _refunds_of(tx, node["id"])
    if step not in node or (step not in EXPANDABLE and not isinstance(node[step], dict | list)):
        raise StripeError(f"This property cannot be expanded ({path}).", param="expand")
    value = node[step]
    return tx.find(value, EXPANDABLE[step]) if isinstance(value, str) and value else value


def _refunds_of(tx: Transaction, charge_id: str) -> Json:
    where, values = equals(charge=charge_id)
    return tx.page("refund", Page(), f"/v1/charges/{charge_id}/refunds", where=where, values=values)
