"""Checkout Sessions: from the request to open, complete or expired.

open ──pay──▶ complete (paid; unpaid while a hold or a debit is outstanding; nothing to pay for a card that is kept)
└──expire, or `expires_at`──▶ expired
"""

from . import methods, objects, objects_checkout, payments, setups, subscriptions, tax
from .cards import Card
from .checkoutrequest import CheckoutRequest, Line
from .errors import StripeError
from .params import Json
from .store import Transaction

EXPIRES_MIN_S = 30 * 60
EXPIRES_MAX_S = 24 * 3600


def create(tx: Transaction, request: CheckoutRequest, public_url: str) -> Json:
    session = objects_checkout.checkout_session(tx.new_id("cs_sandbox"), now_s=tx.now_s) | request.fields
    expires_at_s = _expiry(tx.now_s, request.expires_at_s)
    if request.customer is not None:
        tx.get("customer", request.customer, param="customer", status=400)
    session.update(
        amount_subtotal=request.total_minor,
        amount_total=request.total_minor,
        currency=request.currency,
        customer=request.customer,
        customer_creation=None if request.customer else session["customer_creation"],
        expires_at=expires_at_s,
        mode=request.mode,
        payment_status="unpaid" if request.total_minor else "no_payment_required",
        ui_mode=request.ui_mode,
    )
    if request.mode == "subscription" and request.customer is None:
        session["customer_creation"] = "always"
    if request.ui_mode == "embedded_page":
        session["client_secret"] = tx.new_id(f"{session['id']}_secret")
    else:
        session["url"] = f"{public_url}/sandbox/checkout/{session['id']}"
    lines = [_add_line(tx, line) for line in request.lines]
    if session["automatic_tax"]["enabled"]:
        for line in lines:
            line["amount_tax"] = tax.within(tx, line["amount_total"])
        session["total_details"]["amount_tax"] = sum(line["amount_tax"] for line in lines)
    hidden = {"lines": lines, "intent": request.intent, "subscription": request.subscription}
    if request.mode == "setup":
        session["setup_intent"] = hidden["confirming"] = _add_setup(tx, session, request.intent)["id"]
    return tx.insert(session, hidden=hidden, due_s=expires_at_s)


def _add_setup(tx: Transaction, session: Json, fields: Json) -> Json:
    return setups.create(
        tx, fields | {"customer": session["customer"]}, hidden={"session": session["id"], "method": None}
    )


def _expiry(now_s: int, expires_at_s: int | None) -> int:
    if expires_at_s is None:
        return now_s + EXPIRES_MAX_S
    if not now_s + EXPIRES_MIN_S <= expires_at_s <= now_s + EXPIRES_MAX_S:
        message = "The `expires_at` timestamp must be 30 minutes to 24 hours after Checkout Session creation."
        raise StripeError(message, param="expires_at")
    return expires_at_s


def _add_line(tx: Transaction, line: Line) -> Json:
    product = objects_checkout.product(
        tx.new_id("prod"),
        name=line.name,
        description=line.description,
        metadata=line.metadata,
        now_s=tx.now_s,
    )
    price = objects_checkout.price(
        tx.new_id("price"),
        product_id=tx.insert(product)["id"],
        currency=line.currency,
        unit_amount_minor=line.unit_amount_minor,
        now_s=tx.now_s,
        recurring=(line.recurring.interval, line.recurring.count) if line.recurring else None,
    )
    return objects_checkout.line_item(
        tx.new_id("li"), tx.insert(price), name=line.name, quantity=line.quantity
    )


def line_items(tx: Transaction, session_id: str) -> Json:
    lines = tx.hidden(session_id)["lines"]
    url = f"/v1/checkout/sessions/{session_id}/line_items"
    return {"object": "list", "data": lines, "has_more": False, "url": url}


def expire(tx: Transaction, session: Json) -> Json:
    """Close an open session for good, and cancel the PaymentIntent that an attempt may have left."""
    if session["status"] != "open":
        message = f'Only Checkout Sessions with a status in ["open"] can be expired. This one is {session["status"]}.'
        raise StripeError(message)
    thing = confirming(tx, session)
    if thing is not None and thing["object"] == "setup_intent":
        setups.cancel(tx, thing, None)
    elif thing is not None:
        payments.cancel(tx, thing, "automatic")
    _close(tx, session, "expired")
    tx.emit("checkout.session.expired", session)
    return session


def expire_due(tx: Transaction) -> int:
    """Expire every open session whose time has come; how many there were."""
    due = tx.due("checkout.session")
    for session in due:
        expire(tx, session)
    return len(due)


def _close(tx: Transaction, session: Json, status: str) -> None:
    session.update(status=status, url=None)  # a link is answered only while it works
    tx.set_due(session["id"], None)
    tx.update(session)


def confirming(tx: Transaction, session: Json) -> Json | None:
    """The PaymentIntent or SetupIntent that the page is about, None before the first try."""
    return tx.find(tx.hidden(session["id"]).get("confirming") or session["payment_intent"] or "")


def pay(tx: Transaction, session: Json, card: Card, *, email: str | None, name: str | None) -> Json:
    """The payer pressed Pay. Returns the PaymentIntent or SetupIntent after the attempt (see `payments.attempt`)."""
    thing = confirming(tx, session) or _add_confirming(tx, session)
    if thing["status"] != "requires_payment_method":
        thing.update(
            status="requires_payment_method", next_action=None
        )  # a challenge that was walked away from
    billing = {"email": session["customer_email"] or email, "name": name}
    tx.set_hidden(thing["id"], tx.hidden(thing["id"]) | {"billing": billing})
    if thing["object"] == "setup_intent":
        thing = setups.attempt(tx, thing, card, billing)
    else:
        thing = payments.attempt(tx, thing, card, billing)
    return _conclude(tx, session, thing, billing)


def answer_challenge(tx: Transaction, session: Json, *, approved: bool) -> Json:
    thing = confirming(tx, session)
    if thing is None:
        raise StripeError("No 3-D Secure step is waiting")
    billing = tx.hidden(thing["id"]).get("billing", {})
    if thing["object"] == "setup_intent":
        thing = setups.answer_challenge(tx, thing, approved=approved)
    else:
        thing = payments.answer_challenge(tx, thing, approved=approved)
    return _conclude(tx, session, thing, billing)


def _add_confirming(tx: Transaction, session: Json) -> Json:
    """In mode subscription the session itself names neither: they are of the first invoice, or of the trial."""
    if session["amount_total"]:
        thing = _add_intent(tx, session)
        if session["mode"] == "payment":
            session["payment_intent"] = thing["id"]
            tx.update(session)
    else:
        thing = _add_setup(tx, session, {})
    tx.set_hidden(session["id"], tx.hidden(session["id"]) | {"confirming": thing["id"]})
    return thing


def _add_intent(tx: Transaction, session: Json) -> Json:
    intent = objects.payment_intent(
        tx.new_id("pi"),
        amount_minor=session["amount_total"],
        currency=session["currency"],
        secret=tx.new_id("x")[2:],
        now_s=tx.now_s,
    )
    intent |= tx.hidden(session["id"])["intent"]
    if session["mode"] == "subscription":
        intent.update(setup_future_usage="off_session", description="Subscription creation")
    intent.update(customer=session["customer"], payment_method_types=session["payment_method_types"])
    tx.emit("payment_intent.created", tx.insert(intent, hidden={"session": session["id"]}))
    return intent


def _conclude(tx: Transaction, session: Json, thing: Json, billing: Json) -> Json:
    if thing["status"] not in ("succeeded", "requires_capture", "processing"):
        return thing
    session["customer_details"] = objects_checkout.customer_details(
        email=billing.get("email"), name=billing.get("name")
    )
    if thing["object"] == "payment_intent":
        session["payment_status"] = "paid" if thing["status"] == "succeeded" else "unpaid"
    if session["customer_creation"] == "always" and session["customer"] is None:
        session["customer"] = _add_customer(tx, thing, billing)
    if session["mode"] == "subscription":
        _subscribe(tx, session, thing)
    _close(tx, session, "complete")
    tx.emit("checkout.session.completed", session)
    return thing


def _subscribe(tx: Transaction, session: Json, thing: Json) -> None:
    hidden = tx.hidden(session["id"])
    started = subscriptions.start(
        tx,
        customer_id=session["customer"],
        lines=hidden["lines"],
        data=hidden["subscription"],
        method_id=thing["payment_method"],
        intent=thing if thing["object"] == "payment_intent" else None,
    )
    session.update(subscription=started["id"], invoice=started["latest_invoice"])


def _add_customer(tx: Transaction, thing: Json, billing: Json) -> str:
    customer = objects.customer(tx.new_id("cus"), now_s=tx.now_s)
    customer.update(email=billing.get("email"), name=billing.get("name"))
    tx.emit("customer.created", tx.insert(customer))
    thing["customer"] = customer["id"]
    tx.update(thing)
    charge = tx.find(thing.get("latest_charge") or "", "charge")
    if charge is not None:
        tx.update(charge | {"customer": customer["id"]})
    if thing["object"] == "setup_intent" or thing["setup_future_usage"]:
        methods.attach(tx, tx.get("payment_method", thing["payment_method"]), customer["id"])
    return str(customer["id"])


def settle(tx: Transaction, session: Json, *, succeeds: bool) -> Json:
    """The late answer to a bank debit: `async_payment_succeeded` or `async_payment_failed`."""
    if session["status"] != "complete" or session["payment_status"] != "unpaid":
        raise StripeError("This session waits for no bank")
    intent = tx.get("payment_intent", session["payment_intent"])
    if intent["status"] != "processing":
        raise StripeError("This session waits for no bank")
    payments.settle(tx, intent, succeeds=succeeds)
    session["payment_status"] = "paid" if succeeds else "unpaid"
    tx.update(session)
    tx.emit("checkout.session.async_payment_" + ("succeeded" if succeeds else "failed"), session)
    return session


def captured(tx: Transaction, intent_id: str) -> None:
    """After a hold was captured, its session counts as paid."""
    for session in tx.find_by("checkout.session", "payment_intent", intent_id):
        session["payment_status"] = "paid"
        tx.update(session)
