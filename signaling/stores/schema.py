"""The tables: the book of record, on SQLite and PostgreSQL alike.

Columns ending in `_at` are RFC 3339 UTC texts for people; nothing is decided by comparing them except expiry of
reservations, tokens and invitations, which are `_at_s` (integer seconds of wall-clock time). `*_ms` columns are
durations, or times on the clock of the run named in the same row.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
    text,
)

metadata = MetaData()


def _id() -> Column[str]:
    return Column("id", String(64), primary_key=True)


def _ref(name: str, target: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, String(64), ForeignKey(target), nullable=nullable)


def _books() -> tuple[Column[str], Column[str]]:
    """Which books a row belongs to: never mixed."""
    return Column("mode", String(8), nullable=False), Column("account", String(64), nullable=False)


runs = Table(
    "runs",
    metadata,
    _id(),
    Column("host", String(255), nullable=False),
    Column("state", String(8), nullable=False),  # live | closed | dead
    Column("beat_seq", BigInteger, nullable=False),
    Column("run_ms", BigInteger, nullable=False),
    Column("silent", JSON, nullable=False),  # {session_id: last authenticated packet, run_ms}
    Column("started_at", String(32), nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    _id(),
    Column("secret_hash", String(64), nullable=False, unique=True),
    Column("note", Text, nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("expires_at_s", BigInteger, nullable=False),
)

# --- people -----------------------------------------------------------------------------------------------

users = Table(
    "users",
    metadata,
    _id(),
    Column("email", String(254), nullable=False, unique=True),  # lower case
    Column("name", Text, nullable=False),
    Column("role", String(16), nullable=False),  # user | host | operator
    Column("created_at", String(32), nullable=False),
)

# One-time links sent by e-mail. `next_path`: where they lead once signed in.
login_links = Table(
    "login_links",
    metadata,
    Column("secret_hash", String(64), primary_key=True),
    Column("email", String(254), nullable=False),
    Column("next_path", Text, nullable=False),
    Column("expires_at_s", BigInteger, nullable=False),
    Column("used", Boolean, nullable=False),
)

user_sessions = Table(
    "user_sessions",
    metadata,
    Column("secret_hash", String(64), primary_key=True),
    _ref("user_id", "users.id"),
    Column("csrf_hash", String(64), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("expires_at_s", BigInteger, nullable=False),
    Index("user_sessions_user", "user_id"),
)

# A person at Stripe, in one set of books.
customers = Table(
    "customers",
    metadata,
    Column("user_id", String(64), ForeignKey("users.id"), primary_key=True),
    Column("mode", String(8), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("customer_id", String(255), nullable=False, unique=True),
)

# Cards on file. `fingerprint`: the same card has the same one, whoever brings it.
cards = Table(
    "cards",
    metadata,
    Column("payment_method_id", String(255), primary_key=True),
    _ref("user_id", "users.id"),
    *_books(),
    Column("fingerprint", String(64), nullable=False),
    Column("brand", String(32), nullable=False),
    Column("last4", String(4), nullable=False),
    Column("exp_month", Integer, nullable=False),
    Column("exp_year", Integer, nullable=False),
    Column("usable", Boolean, nullable=False),
    Column("created_at", String(32), nullable=False),
    Index("cards_user", "user_id"),
)

# --- rooms and purchases ----------------------------------------------------------------------------------

rooms = Table(
    "rooms",
    metadata,
    _id(),
    Column("slug", String(64), nullable=False, unique=True),
    *_books(),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("host_name", Text, nullable=False),
    Column("host_key_hash", String(64), nullable=False),
    Column("tariff", JSON, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("privacy", String(16), nullable=False),  # confidential | conference
    Column("capacity", Integer, nullable=False),  # payers
    Column("max_seconds", Integer),
    Column("terms_url", Text),
    Column("terms_version", String(64)),
    Column("state", String(8), nullable=False),  # open | closed
    Column("locked", Boolean, nullable=False),
    # Who forwards this room (compare-and-set), and whether its host is live there.
    Column("run_id", String(64)),
    Column("epoch", BigInteger, nullable=False),
    Column("live", Boolean, nullable=False),
    # Wall-clock second since which the host is away; NULL while live. Set at creation.
    Column("away_since_s", BigInteger),
    Column("created_at", String(32), nullable=False),
    Column("closed_at", String(32)),
    # Who earns; NULL: the operator (opened without an account).
    _ref("owner_id", "users.id", nullable=True),
    # Once anything was sold here the currency stays.
    Column("sold", Boolean, nullable=False, server_default=false()),
    Index("rooms_owner", "owner_id"),
)

orders = Table(
    "orders",
    metadata,
    _id(),
    _ref("room_id", "rooms.id", nullable=True),  # NULL: a top-up of a wallet outside any room
    *_books(),
    Column("state", String(20), nullable=False),  # metering.orders.OrderState
    Column("request_hash", String(64), nullable=False),  # a repeat with another content is refused
    Column("secret_hash", String(64), nullable=False),
    Column("link_hash", String(64)),
    Column("name", Text, nullable=False),
    Column("email", Text),
    # The snapshot of what was sold.
    Column("tariff", JSON, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("terms_url", Text),
    Column("terms_version", String(64)),
    Column("terms_accepted_at", String(32)),
    Column("seconds", Integer),  # NULL: unlimited
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    _ref("extends_pass_id", "passes.id", nullable=True),
    # Stripe's side.
    Column("ui", String(8), nullable=False),  # hosted | embedded | card (on file) | auto (unasked)
    Column("checkout_session_id", String(255), unique=True),
    Column("checkout_url", Text),
    Column("client_secret", Text),
    Column("payment_intent_id", String(255)),
    Column("failure", String(64)),
    Column("refunded_minor", BigInteger, nullable=False),
    Column("dispute", String(8), nullable=False),  # none | open | won | lost
    Column("lost_minor", BigInteger, nullable=False),  # taken back by the payer's bank
    Column("quarantine_reason", String(64)),
    # What it granted: its own pass, or time on the pass that it extends, which then already had so much.
    Column("granted", Boolean, nullable=False),
    Column("granted_before_ms", BigInteger, nullable=False),
    Column("access_ended", Boolean, nullable=False),  # taken back after a refund or dispute
    Column("taken_ms", BigInteger, nullable=False),  # so much of it came off a pass that goes on
    # The seat: reserved until this second, NULL when none is held for this order.
    Column("reserved_until_s", BigInteger),
    Column("waits", Boolean, nullable=False),
    Column("walked_away", Boolean, nullable=False),  # the payer asked to cancel it
    Column("created_at", String(32), nullable=False),
    Column("created_at_s", BigInteger, nullable=False),
    Column("paid_at", String(32)),
    Column("paid_at_s", BigInteger),
    # What kind of purchase this is, whose, and for whom the money is (docs/money.md).
    Column("purpose", String(12), nullable=False, server_default="access"),  # access | topup | setup
    Column("funding", String(12), nullable=False, server_default="payment"),  # as of the pass
    _ref("user_id", "users.id", nullable=True),
    Column("payee", String(64)),  # of the earnings: a user, or a room without owner
    # Parts of the price, all included in amount_minor: amount = list - discount + fee on top.
    Column("list_minor", BigInteger),
    Column("discount_minor", BigInteger, nullable=False, server_default="0"),
    Column("fee_minor", BigInteger, nullable=False, server_default="0"),  # the platform's part of the amount
    Column("fee_on_top_minor", BigInteger, nullable=False, server_default="0"),
    Column("tax_minor", BigInteger, nullable=False, server_default="0"),
    Column("promotion_id", String(64)),
    # Pay for what you use: amount_minor is what the card was asked to hold, charged_minor what was taken in the end
    # (NULL: not settled yet). Wallet: amount_minor is 0 and charged_minor what the wallet paid.
    Column("charged_minor", BigInteger),
    Column("capture_before_s", BigInteger),
    Column("goes_on", Boolean, nullable=False, server_default=false()),  # the payer agreed to further holds
    Column("charge_id", String(255)),
    Column("customer_id", String(255)),
    Column("payment_method_id", String(255)),
    Column("fingerprint", String(64)),
    Index("orders_room_state", "room_id", "state"),
    Index("orders_payment_intent", "payment_intent_id"),
    Index("orders_extends", "extends_pass_id"),
    Index("orders_user", "user_id"),
    Index("orders_state", "state", "created_at_s"),
    Index("orders_paid", "paid_at_s"),
)

passes = Table(
    "passes",
    metadata,
    _id(),
    _ref("room_id", "rooms.id"),
    Column("order_id", String(64), nullable=False, unique=True),  # the order that granted it
    *_books(),
    Column("state", String(12), nullable=False),  # waiting | active | used_up | refunded | disputed | revoked
    Column("name", Text, nullable=False),
    Column("granted_ms", BigInteger),  # NULL: unlimited
    Column("used_ms", BigInteger, nullable=False),  # of closed segments
    Column("forgiven_ms", BigInteger, nullable=False),
    Column("may_publish", Boolean, nullable=False),
    # Which connection owns it (compare-and-set).
    Column("run_id", String(64)),
    Column("epoch", BigInteger, nullable=False),
    Column("created_at", String(32), nullable=False),
    # Where its time comes from: payment (bought whole) | metered | wallet | subscription | free.
    Column("funding", String(12), nullable=False, server_default="payment"),
    _ref("user_id", "users.id", nullable=True),
    # Funded in windows: what was used is priced and taken; nothing is added after that.
    Column("settled", Boolean, nullable=False, server_default=false()),
    # Of the time that was granted: taken off again with a refund or dispute, and not found to be used since.
    Column("taken_ms", BigInteger, nullable=False, server_default="0"),
    Index("passes_room_state", "room_id", "state"),
    Index("passes_funding", "funding", "settled"),
    Index("passes_state", "state", "funding"),
)

# Stretches of a pass that are backed by a hold: on a card (metered) or on a wallet. Window 1 begins at 0.
windows = Table(
    "windows",
    metadata,
    _id(),
    _ref("pass_id", "passes.id"),
    Column("number", Integer, nullable=False),
    *_books(),
    Column("kind", String(8), nullable=False),  # card | wallet
    Column("begins_ms", BigInteger, nullable=False),  # of the pass's granted time
    Column("length_ms", BigInteger, nullable=False),
    Column("held_minor", BigInteger, nullable=False),
    Column("charged_minor", BigInteger),  # NULL: not settled
    Column("refunded_minor", BigInteger, nullable=False, server_default="0"),  # of what was charged
    Column("dispute", String(8), nullable=False, server_default="none"),  # none | open | won | lost
    Column("lost_minor", BigInteger, nullable=False, server_default="0"),  # of what was charged
    Column("currency", String(3), nullable=False),
    # asked | action (the payer must confirm) | held | settling | settled | failed | released
    Column("state", String(12), nullable=False),
    Column("payment_intent_id", String(255), unique=True),
    Column("capture_before_s", BigInteger),
    Column("failure", String(64)),
    Column("created_at", String(32), nullable=False),
    Index("windows_pass", "pass_id", "number", unique=True),
    Index("windows_state", "state"),
)

# A first call below the smallest charge is free, once per card, room and day.
waived = Table(
    "waived",
    metadata,
    Column("room_id", String(64), ForeignKey("rooms.id"), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),
    Column("day", String(10), primary_key=True),  # UTC, YYYY-MM-DD
    Column("order_id", String(64), nullable=False),
)

# --- ways to charge ---------------------------------------------------------------------------------------

STANDING = "status NOT IN ('canceled', 'incomplete_expired')"

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", String(255), primary_key=True),  # Stripe's
    _ref("order_id", "orders.id"),
    _ref("pass_id", "passes.id", nullable=True),
    _ref("room_id", "rooms.id"),
    _ref("user_id", "users.id"),
    *_books(),
    Column("customer_id", String(255), nullable=False),
    Column("status", String(24), nullable=False),
    Column("current_period_end_s", BigInteger, nullable=False),
    Column("cancel_at_period_end", Boolean, nullable=False),
    # Since when it is neither active nor trialing; the grace period runs from here.
    Column("lapsed_at_s", BigInteger),
    Column("updated_at", String(32), nullable=False),
    Index("subscriptions_user", "user_id"),
    Index("subscriptions_room", "room_id", "status"),
    Index("subscriptions_pass", "pass_id"),
    # Those that are not over: few beside all that ever were.
    Index(
        "subscriptions_standing",
        "current_period_end_s",
        sqlite_where=text(STANDING),
        postgresql_where=text(STANDING),
    ),
)

invoices = Table(
    "invoices",
    metadata,
    Column("id", String(255), primary_key=True),  # Stripe's
    Column("subscription_id", String(255), ForeignKey("subscriptions.id"), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("payment_intent_id", String(255)),
    Column("refunded_minor", BigInteger, nullable=False),
    Column("created_at", String(32), nullable=False),
    Index("invoices_subscription", "subscription_id"),
)

# Free minutes had: once per person and once per card in each room.
free_minutes = Table(
    "free_minutes",
    metadata,
    Column("room_id", String(64), ForeignKey("rooms.id"), primary_key=True),
    Column("user_id", String(64), ForeignKey("users.id"), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("order_id", String(64), nullable=False),
    Column("seconds", Integer, nullable=False),
    Index("free_minutes_card", "room_id", "fingerprint", unique=True),
)

promotions = Table(
    "promotions",
    metadata,
    _id(),
    *_books(),
    Column("code", String(32), nullable=False),  # upper case
    _ref("room_id", "rooms.id", nullable=True),  # NULL: every room
    Column("percent", Integer),  # 1 to 100, or
    Column("amount_minor", BigInteger),
    Column("currency", String(3)),
    Column("uses_left", Integer),  # NULL: without end
    Column("once_per_person", Boolean, nullable=False),
    Column("expires_at_s", BigInteger),
    Column("active", Boolean, nullable=False),
    Column("created_at", String(32), nullable=False),
    Index("promotions_code", "mode", "account", "code", unique=True),
)

# Taken with the order, given back when it is not paid.
promotion_uses = Table(
    "promotion_uses",
    metadata,
    Column("order_id", String(64), ForeignKey("orders.id"), primary_key=True),
    _ref("promotion_id", "promotions.id"),
    Column("person", String(64), nullable=False),  # user id, or SHA-256 of the e-mail address, or of the card
    Column("given_back", Boolean, nullable=False),
    Index("promotion_uses_promotion", "promotion_id", "person"),
)

# Rates and terms by scope; what is absent or null falls through to the next: room, user, role, default.
rates = Table(
    "rates",
    metadata,
    Column("mode", String(8), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("scope", String(8), primary_key=True),  # default | role | user | room
    Column("subject", String(64), primary_key=True),  # '' | role | user id | room id
    Column("figures", JSON, nullable=False),
    Column("updated_at", String(32), nullable=False),
)

wallets = Table(
    "wallets",
    metadata,
    Column("user_id", String(64), ForeignKey("users.id"), primary_key=True),
    Column("mode", String(8), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("currency", String(3), primary_key=True),
    Column("managed_by", String(8), nullable=False),  # stripe | platform
    Column("auto_topup", Boolean, nullable=False),
    Column("auto_package", Integer),  # which of the packages
    Column("auto_card", String(255)),
    Column("auto_order_id", String(64)),  # the one in flight
    Column("auto_not_before_s", BigInteger),  # after a decline
)

# --- who gets the money -----------------------------------------------------------------------------------

connected_accounts = Table(
    "connected_accounts",
    metadata,
    Column("user_id", String(64), ForeignKey("users.id"), primary_key=True),
    Column("mode", String(8), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("connected_id", String(255), unique=True),  # NULL: being made
    Column("transfers_status", String(24), nullable=False),
    Column("requirements", JSON, nullable=False),
    Column("updated_at", String(32), nullable=False),
)

OPEN_EARNING = "net_minor - reversed_minor - paid_minor - withheld_minor <> 0"
OWING_EARNING = "net_minor - reversed_minor - paid_minor - withheld_minor < 0"

# One sale: what the payee has of it, and where it stands on its way to them.
earnings = Table(
    "earnings",
    metadata,
    _id(),  # the sale's id: of an order, a window, a settled wallet stay, an invoice
    *_books(),
    Column("payee", String(64), nullable=False),
    Column("order_id", String(64), nullable=False),
    Column("room_id", String(64), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("gross_minor", BigInteger, nullable=False),  # what the payer paid
    Column("fee_minor", BigInteger, nullable=False),
    Column("tax_minor", BigInteger, nullable=False),
    Column("net_minor", BigInteger, nullable=False),  # the payee's
    Column("reversed_minor", BigInteger, nullable=False),  # of net, by refunds and lost disputes
    Column("paid_minor", BigInteger, nullable=False),  # of net, transferred or being transferred
    # Kept for a debt of another earning, or (below zero) its own debt that another earning paid.
    Column("withheld_minor", BigInteger, nullable=False, server_default="0"),
    Column("disputed_minor", BigInteger, nullable=False, server_default="0"),  # of net, by open disputes
    Column("state", String(12), nullable=False),  # pending | available
    Column("available_at_s", BigInteger, nullable=False),
    Column("charge_id", String(255)),  # the charge whose money it is, when it is one charge's
    Column("created_at", String(32), nullable=False),
    Column("created_at_s", BigInteger, nullable=False),
    Index("earnings_payee", "payee", "state"),
    Index("earnings_due", "state", "available_at_s"),
    Index("earnings_order", "order_id"),
    # Those of which something is still to be sent, or to come back: few beside all that were ever sold.
    Index(
        "earnings_open",
        "mode",
        "account",
        "state",
        sqlite_where=text(OPEN_EARNING),
        postgresql_where=text(OPEN_EARNING),
    ),
    # Those of which too much was sent.
    Index("earnings_owing", "id", sqlite_where=text(OWING_EARNING), postgresql_where=text(OWING_EARNING)),
)

# What banks look into or have taken back of payments.
disputes = Table(
    "disputes",
    metadata,
    _id(),  # the payment service's
    *_books(),
    Column("subject_id", String(64), nullable=False),  # the sale (as of earnings), or the order of a top-up
    Column("order_id", String(64), nullable=False),
    Column("state", String(8), nullable=False),  # open | won | lost
    Column("amount_minor", BigInteger, nullable=False),  # what it is about
    Column("lost_minor", BigInteger, nullable=False),  # what was taken by it
    Column("returned_minor", BigInteger, nullable=False, server_default="0"),  # of what was withdrawn
    Column("currency", String(3), nullable=False),
    Column("updated_at", String(32), nullable=False),
    Index("disputes_subject", "subject_id"),
)

payouts = Table(
    "payouts",
    metadata,
    _id(),
    *_books(),
    Column("payee", String(64), nullable=False),
    Column("earning_id", String(64), nullable=False),
    Column("connected_id", String(255), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("reversed_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("state", String(12), nullable=False),  # asked | sent | failed
    Column("transfer_id", String(255), unique=True),
    Column("failure", String(64)),
    Column("created_at", String(32), nullable=False),
    Index("payouts_payee", "payee"),
    Index("payouts_earning", "earning_id"),
)

sessions = Table(
    "sessions",
    metadata,
    _id(),
    _ref("pass_id", "passes.id"),
    _ref("room_id", "rooms.id"),
    _ref("run_id", "runs.id"),
    Column("epoch", BigInteger, nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("ended_at", String(32)),
    Column("end_code", String(24)),
    Index("sessions_pass", "pass_id"),
    Index("sessions_ended", "end_code", "ended_at"),
    Index(
        "sessions_open",
        "room_id",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)

segments = Table(
    "segments",
    metadata,
    _id(),
    _ref("pass_id", "passes.id"),
    _ref("session_id", "sessions.id"),
    _ref("run_id", "runs.id"),
    Column("opened_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger),  # first forwarded packet; written with the next heartbeat
    Column("closed_ms", BigInteger),
    Column("used_ms", BigInteger),
    Column("opened_at", String(32), nullable=False),
    # Two open segments of one pass are impossible.
    Index(
        "segments_one_open",
        "pass_id",
        unique=True,
        sqlite_where=text("closed_ms IS NULL"),
        postgresql_where=text("closed_ms IS NULL"),
    ),
    Index("segments_run", "run_id"),
)

used_tokens = Table(
    "used_tokens",
    metadata,
    Column("jti", String(64), primary_key=True),
    Column("expires_at_s", BigInteger, nullable=False),
)

# The keys of encoders (WHIP) and players (WHEP): one a room, one an order.
stream_keys = Table(
    "stream_keys",
    metadata,
    Column("owner_id", String(64), primary_key=True),  # of a room or an order
    Column("key_hash", String(64), nullable=False, unique=True),
    Column("created_at", String(32), nullable=False),
)

inbox = Table(
    "inbox",
    metadata,
    Column("event_id", String(255), primary_key=True),
    *_books(),
    Column("type", String(255), nullable=False),
    Column("object_id", String(255), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", String(12), nullable=False),  # received | applied | ignored | quarantined
    Column("note", Text),
    Column("attempts", Integer, nullable=False),
    Column("next_at_s", BigInteger, nullable=False),
    Column("received_at", String(32), nullable=False),
    Index("inbox_state", "state", "next_at_s"),
)

outbox = Table(
    "outbox",
    metadata,
    _id(),
    Column("kind", String(32), nullable=False),  # refund | expire_checkout | …
    Column("subject_id", String(64), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", String(12), nullable=False),  # waiting | done | failed
    Column("attempts", Integer, nullable=False),
    Column("next_at_s", BigInteger, nullable=False),
    Column("note", Text),
    Column("created_at", String(32), nullable=False),
    Index("outbox_state", "state", "next_at_s"),
    Index("outbox_subject", "subject_id"),
)

# Every call to Stripe that creates something: stored with its exact parameters before it is made.
stripe_calls = Table(
    "stripe_calls",
    metadata,
    Column("idempotency_key", String(128), primary_key=True),
    Column("operation", String(64), nullable=False),
    Column("subject_id", String(64), nullable=False),
    Column("params", JSON, nullable=False),
    Column("state", String(12), nullable=False),  # pending | done | refused | unknown
    Column("result_id", String(255)),
    Column("note", Text),
    Column("attempts", Integer, nullable=False),
    Column("next_at_s", BigInteger, nullable=False),
    Column("created_at_s", BigInteger, nullable=False),
    Index("stripe_calls_subject", "subject_id"),
    Index("stripe_calls_state", "state", "next_at_s"),
)

refunds = Table(
    "refunds",
    metadata,
    _id(),
    _ref("order_id", "orders.id"),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("reason", String(32), nullable=False),  # signaling.stores.outbox.RefundReason
    Column("state", String(12), nullable=False),  # asked | succeeded | failed
    Column("stripe_refund_id", String(255), unique=True),
    Column("created_at", String(32), nullable=False),
    Column("payment_intent_id", String(255)),  # which of the order's payments, where that was said
    Index("refunds_order", "order_id"),
    Index("refunds_state", "state"),
    Index("refunds_created", "created_at"),
)

quarantine = Table(
    "quarantine",
    metadata,
    _id(),
    Column("reason", String(64), nullable=False),
    Column("subject_id", String(255), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created_at", String(32), nullable=False),
)

# What our books and Stripe's say differently: shown, never mended by itself.
differences = Table(
    "differences",
    metadata,
    _id(),  # made of kind and subject: the same difference is one row
    *_books(),
    Column("kind", String(32), nullable=False),
    Column("subject_id", String(255), nullable=False),
    Column("ours_minor", BigInteger),
    Column("theirs_minor", BigInteger),
    Column("currency", String(3)),
    Column("note", Text, nullable=False),
    Column("state", String(8), nullable=False),  # open | gone
    Column("first_seen_at", String(32), nullable=False),
    Column("last_seen_at", String(32), nullable=False),
    Index("differences_state", "state"),
)

# The ledger: one row moves an amount between two accounts, so entries always sum to zero.
transfers = Table(
    "transfers",
    metadata,
    Column("id", String(128), primary_key=True),  # chosen by the caller: a repeat answers "exists"
    *_books(),
    Column("debit", String(128), nullable=False),
    Column("credit", String(128), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("code", String(32), nullable=False),
    Column("subject_id", String(64), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column(
        "kind", String(8), nullable=False, server_default="single"
    ),  # single | hold | post | void | expire
    # The hold that a post, void or expire resolves: once.
    Column("pending_id", String(128), unique=True),
    Column("expires_at_s", BigInteger),  # of a hold
    # Of a hold: another row resolves it. Said here too, so that the open ones are found among all that ever were.
    Column("resolved", Boolean, nullable=False, server_default=false()),
    Index("transfers_subject", "subject_id"),
    Index(
        "transfers_expires",
        "expires_at_s",
        sqlite_where=text("kind = 'hold' AND resolved = 0"),
        postgresql_where=text("kind = 'hold' AND NOT resolved"),
    ),
    Index("transfers_debit", "debit", "currency"),
    Index("transfers_credit", "credit", "currency"),
)

# The balance of every account, kept with each transfer in its transaction: derived, and checked against them.
balances = Table(
    "balances",
    metadata,
    Column("mode", String(8), primary_key=True),
    Column("account", String(64), primary_key=True),  # Stripe's
    Column("name", String(128), primary_key=True),
    Column("currency", String(3), primary_key=True),
    Column("debits_minor", BigInteger, nullable=False),
    Column("credits_minor", BigInteger, nullable=False),
    Column("debits_held_minor", BigInteger, nullable=False),
    Column("credits_held_minor", BigInteger, nullable=False),
)

# Small facts that outlive a restart: the token keys, cursors of the catch-up.
settings = Table(
    "settings",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", JSON, nullable=False),
)
