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
)

orders = Table(
    "orders",
    metadata,
    _id(),
    _ref("room_id", "rooms.id"),
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
    Column("ui", String(8), nullable=False),  # hosted | embedded
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
    Index("orders_room_state", "room_id", "state"),
    Index("orders_payment_intent", "payment_intent_id"),
    Index("orders_extends", "extends_pass_id"),
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
    Index("passes_room_state", "room_id", "state"),
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
    Column("type", String(64), nullable=False),
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
    Column("reason", String(32), nullable=False),  # host_absent | kicked | host_ended | unserved | dashboard
    Column("state", String(12), nullable=False),  # asked | succeeded | failed
    Column("stripe_refund_id", String(255), unique=True),
    Column("created_at", String(32), nullable=False),
    Index("refunds_order", "order_id"),
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
    Index("transfers_subject", "subject_id"),
)

# Small facts that outlive a restart: the token keys, cursors of the catch-up.
settings = Table(
    "settings",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", JSON, nullable=False),
)
