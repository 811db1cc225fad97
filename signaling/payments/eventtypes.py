"""The events of the payment service that Tollroom acts on: what its webhook endpoint must be told to send."""

# What we act on. At most 20 may be named in a listing, so there are several.
EVENT_LISTINGS = (
    (
        "checkout.session.completed",
        "checkout.session.expired",
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
        "payment_intent.amount_capturable_updated",
        "payment_intent.requires_action",
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.canceled",
        "setup_intent.succeeded",
        "setup_intent.setup_failed",
        "setup_intent.canceled",
    ),
    (
        "charge.captured",
        "charge.expired",
        "charge.refunded",
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
        "charge.dispute.funds_withdrawn",
        "refund.created",
        "refund.updated",
        "refund.failed",
        "transfer.created",
        "transfer.updated",
        "transfer.reversed",
    ),
    (
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.deleted",
        "customer.subscription.paused",
        "customer.subscription.resumed",
        "customer.subscription.trial_will_end",
        "invoice.paid",
        "invoice.payment_failed",
        "invoice.payment_action_required",
        "account.updated",
    ),
)
# Connected accounts send events of the newer kind, which are listed elsewhere.
ACCOUNT_EVENTS = (
    "v2.core.account.closed",
    "v2.core.account[configuration.recipient].capability_status_updated",
    "v2.core.account[configuration.recipient].updated",
    "v2.core.account[requirements].updated",
    "v2.core.account_link.returned",
)
EVENT_TYPES = tuple(kind for listing in EVENT_LISTINGS for kind in listing) + ACCOUNT_EVENTS
