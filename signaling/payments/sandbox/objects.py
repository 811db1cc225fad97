"""The JSON of payments and what belongs to them, as Stripe answers it (Checkout Sessions, billing and Connect have files of
their own). Pure: ids and times come in; nothing is stored here.

Field by field after the classes of stripe-python at the version the project pins; tests walk those classes'
annotations over every answer.
"""

from datetime import UTC, datetime

from .cards import Card, Decline
from .params import Json

CARD_EXPIRY_YEAR = 2034
HOLD_S = 7 * 86400  # a card's authorisation lapses after seven days


def payment_intent(intent_id: str, *, amount_minor: int, currency: str, secret: str, now_s: int) -> Json:
    return {
        "id": intent_id,
        "object": "payment_intent",
        "amount": amount_minor,
        "amount_capturable": 0,
        "amount_details": None,
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{intent_id}_secret_{secret}",
        "confirmation_method": "automatic",
        "created": now_s,
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def _billing_details(billing: Json) -> Json:
    return {
        "address": None,
        "email": billing.get("email"),
        "name": billing.get("name"),
        "phone": None,
        "tax_id": None,
    }


def payment_method(method_id: str, card: Card, billing: Json, *, now_s: int) -> Json:
    method = {
        "id": method_id,
        "object": "payment_method",
        "allow_redisplay": "limited",
        "billing_details": _billing_details(billing),
        "created": now_s,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "sepa_debit" if card.settles_later else "card",
    }
    return method | ({} if card.settles_later else {"card": _card_of_method(card, now_s)})


def _card_of_method(card: Card, now_s: int) -> Json:
    now = datetime.fromtimestamp(now_s, UTC)
    month, year = (now.month, now.year) if card.expires_soon else (12, CARD_EXPIRY_YEAR)
    return {
        "brand": "visa",
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": "visa",
        "exp_month": month,
        "exp_year": year,
        "fingerprint": f"sandbox{card.last4}",
        "funding": "credit",
        "generated_from": None,
        "last4": card.last4,
        "networks": {"available": ["visa"], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _method_details(method: Json, amount_minor: int, *, captured: bool, challenged: bool, now_s: int) -> Json:
    if "card" not in method:
        return {"type": "sepa_debit"}
    card = method["card"]
    secure = {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": None,
        "version": "2.2.0",
    }
    details = {
        "amount_authorized": amount_minor,
        "authorization_code": None,
        "brand": "visa",
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "exp_month": card["exp_month"],
        "exp_year": card["exp_year"],
        "fingerprint": card["fingerprint"],
        "funding": "credit",
        "installments": None,
        "last4": card["last4"],
        "mandate": None,
        "network": "visa",
        "network_token": {"used": False},
        "regulated_status": "unregulated",
        "three_d_secure": secure if challenged else None,
        "wallet": None,
    }
    return {"type": "card", "card": details | ({} if captured else {"capture_before": now_s + HOLD_S})}


def charge(
    charge_id: str,
    intent: Json,
    method: Json,
    *,
    decline: Decline | None,
    captured: bool,
    challenged: bool,
    now_s: int,
) -> Json:
    amount_minor = intent["amount"]
    paid = decline is None
    return {
        "id": charge_id,
        "object": "charge",
        "amount": amount_minor,
        "amount_captured": amount_minor if captured else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "TEST PAYMENTS",
        "captured": captured,
        "created": now_s,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": _outcome(decline),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _method_details(
            method, amount_minor, captured=captured, challenged=challenged, now_s=now_s
        ),
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "succeeded" if paid else "failed",
        "transfer_data": None,
        "transfer_group": intent["transfer_group"],
    }


def _outcome(decline: Decline | None) -> Json:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if decline else "approved_by_network",
        "reason": (decline.decline_code or decline.code) if decline else None,
        "risk_level": "normal",
        "risk_score": 10,
        "seller_message": decline.message if decline else "Payment complete.",
        "type": "issuer_declined" if decline else "authorized",
    }


def payment_error(decline: Decline, *, charge_id: str | None, method: Json) -> Json:
    error = {"charge": charge_id, "code": decline.code, "message": decline.message, "payment_method": method}
    more = {"decline_code": decline.decline_code} if decline.decline_code else {}
    kind = "invalid_request_error" if charge_id is None else "card_error"
    return {name: value for name, value in error.items() if value is not None} | more | {"type": kind}


def refund(refund_id: str, charge_body: Json, *, amount_minor: int, reason: str | None, now_s: int) -> Json:
    return {
        "id": refund_id,
        "object": "refund",
        "amount": amount_minor,
        "balance_transaction": None,
        "charge": charge_body["id"],
        "created": now_s,
        "currency": charge_body["currency"],
        "destination_details": {"type": "card", "card": {"reference_status": "pending", "type": "refund"}},
        "metadata": {},
        "payment_intent": charge_body["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def customer(customer_id: str, *, now_s: int) -> Json:
    return {
        "id": customer_id,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": now_s,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": customer_id[-8:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def balance_transaction(
    transaction_id: str,
    *,
    kind: str,
    category: str,
    source: str,
    amount_minor: int,
    fee_minor: int,
    currency: str,
    now_s: int,
    available_on_s: int,
) -> Json:
    """`amount_minor` is signed: what came in is positive, refunds and disputes are negative."""
    fee = {
        "amount": fee_minor,
        "application": None,
        "currency": currency,
        "description": "Sandbox fee",
        "type": "stripe_fee",
    }
    return {
        "id": transaction_id,
        "object": "balance_transaction",
        "amount": amount_minor,
        "available_on": available_on_s,
        "balance_type": "payments",
        "created": now_s,
        "currency": currency,
        "description": None,
        "exchange_rate": None,
        "fee": fee_minor,
        "fee_details": [fee] if fee_minor else [],
        "net": amount_minor - fee_minor,
        "reporting_category": category,
        "source": source,
        "status": "pending" if available_on_s > now_s else "available",
        "type": kind,
    }


_EVIDENCE = (
    "access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure",
    "cancellation_rebuttal", "customer_communication", "customer_email_address", "customer_name",
    "customer_purchase_ip", "customer_signature", "duplicate_charge_documentation",
    "duplicate_charge_explanation", "duplicate_charge_id", "product_description", "receipt", "refund_policy",
    "refund_policy_disclosure", "refund_refusal_explanation", "service_date", "service_documentation",
    "shipping_address", "shipping_carrier", "shipping_date", "shipping_documentation",
    "shipping_tracking_number", "uncategorized_file", "uncategorized_text",
)  # fmt: skip


def dispute(dispute_id: str, charge_body: Json, *, amount_minor: int, reason: str, now_s: int) -> Json:
    card = {"brand": "visa", "case_type": "chargeback", "network": "visa", "network_reason_code": "10.4"}
    return {
        "id": dispute_id,
        "object": "dispute",
        "amount": amount_minor,
        "balance_transactions": [],
        "charge": charge_body["id"],
        "created": now_s,
        "currency": charge_body["currency"],
        "enhanced_eligibility_types": [],
        "evidence": dict.fromkeys(_EVIDENCE) | {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": now_s + 7 * 86400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge_body["payment_intent"],
        "payment_method_details": {"type": "card", "card": card},
        "reason": reason,
        "status": "needs_response",
    }
