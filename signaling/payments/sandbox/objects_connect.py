"""The JSON of experts' accounts (the newer half of the interface) and of what is sent to them. As `objects.py`."""

from .params import Json
from .store import rfc3339

CAPABILITY = "stripe_balance.stripe_transfers"
STATUS_DETAILS = {
    "pending": [{"code": "requirements_pending_verification", "resolution": "no_resolution"}],
    "restricted": [{"code": "requirements_past_due", "resolution": "provide_info"}],
    "rejected": [{"code": "rejected_other", "resolution": "contact_stripe"}],
}
INCLUDED = ("configuration", "defaults", "future_requirements", "identity", "requirements")


def account(account_id: str, fields: Json, *, requested: bool, now_s: int) -> Json:
    """With everything that a request may ask to include. `fields`: what the request said of it."""
    stripe_balance = {"payouts": None, "stripe_transfers": _capability("restricted") if requested else None}
    return {
        "id": account_id,
        "object": "v2.core.account",
        "applied_configurations": ["recipient"],
        "closed": False,
        "configuration": {
            "customer": None,
            "merchant": None,
            "recipient": {
                "applied": True,
                "capabilities": {"bank_accounts": None, "cards": None, "stripe_balance": stripe_balance},
            },
        },
        "contact_email": fields["contact_email"],
        "contact_phone": None,
        "created": rfc3339(now_s),
        "dashboard": fields["dashboard"],
        "defaults": {
            "currency": fields["currency"],
            "locales": [],
            "profile": None,
            "responsibilities": {
                "fees_collector": fields["fees_collector"],
                "losses_collector": fields["losses_collector"],
                "requirements_collector": "stripe",
            },
        },
        "display_name": fields["display_name"],
        "future_requirements": {"entries": [], "minimum_transition_date": None, "summary": None},
        "identity": {
            "attestations": None,
            "business_details": None,
            "country": fields["country"],
            "entity_type": fields["entity_type"],
            "individual": None,
        },
        "livemode": False,
        "metadata": fields["metadata"],
        "requirements": requirements("currently_due", NEEDED if requested else ()),
    }


NEEDED = ("identity.individual.given_name", "configuration.recipient.default_outbound_destination")
MORE_NEEDED = ("identity.individual.documents.primary_verification",)


def _capability(status: str) -> Json:
    return {"status": status, "status_details": STATUS_DETAILS.get(status, [])}


def set_status(account_body: Json, status: str) -> None:
    """Of what lets it receive transfers, and what is asked for with it."""
    recipient = account_body["configuration"]["recipient"]
    recipient["capabilities"]["stripe_balance"]["stripe_transfers"] = _capability(status)
    needed = MORE_NEEDED if status == "restricted" else ()
    account_body["requirements"] = requirements("past_due", needed)


def status_of(account_body: Json) -> str | None:
    found = account_body["configuration"]["recipient"]["capabilities"]["stripe_balance"]["stripe_transfers"]
    return None if found is None else str(found["status"])


def requirements(deadline: str, names: tuple[str, ...]) -> Json:
    entries = [
        {
            "awaiting_action_from": "user",
            "description": name,
            "errors": [],
            "impact": {
                "restricts_capabilities": [
                    {
                        "capability": CAPABILITY,
                        "configuration": "recipient",
                        "deadline": {"status": deadline},
                    }
                ]
            },
            "minimum_deadline": {"status": deadline},
            "reference": None,
            "requested_reasons": [{"code": "routine_onboarding"}],
        }
        for name in names
    ]
    summary = {"minimum_deadline": {"status": deadline, "time": None}} if entries else None
    return {"entries": entries, "summary": summary}


def shown(account_body: Json, include: list[str]) -> Json:
    """The account as answered: null for what was not asked to be included, as Stripe answers."""
    wanted = {name.split(".")[0] for name in include}
    return account_body | {name: None for name in INCLUDED if name not in wanted}


def account_link(account_id: str, url: str, use_case: Json, *, now_s: int, expires_s: int) -> Json:
    return {
        "object": "v2.core.account_link",
        "account": account_id,
        "created": rfc3339(now_s),
        "expires_at": rfc3339(expires_s),
        "livemode": False,
        "url": url,
        "use_case": use_case,
    }


def transfer(transfer_id: str, fields: Json, *, payment_id: str, now_s: int) -> Json:
    return {
        "id": transfer_id,
        "object": "transfer",
        "amount": fields["amount"],
        "amount_reversed": 0,
        "balance_transaction": None,
        "created": now_s,
        "currency": fields["currency"],
        "description": fields["description"],
        "destination": fields["destination"],
        "destination_payment": payment_id,
        "livemode": False,
        "metadata": fields["metadata"],
        "reversals": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/transfers/{transfer_id}/reversals",
        },
        "reversed": False,
        "source_transaction": fields["source_transaction"],
        "source_type": "card",
        "transfer_group": fields["transfer_group"],
    }


def reversal(reversal_id: str, transfer_body: Json, *, amount_minor: int, metadata: Json, now_s: int) -> Json:
    return {
        "id": reversal_id,
        "object": "transfer_reversal",
        "amount": amount_minor,
        "balance_transaction": None,
        "created": now_s,
        "currency": transfer_body["currency"],
        "destination_payment_refund": None,
        "metadata": metadata,
        "source_refund": None,
        "transfer": transfer_body["id"],
    }
