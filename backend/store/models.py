"""Tables. The database is the only truth; arrays are files beside it, with their hash and size in `artifact`."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

run = Table(
    "run",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("want", String(16), nullable=False, server_default="run"),
    Column("group", Text),
    Column("tags", JSON, nullable=False),
    Column("config", JSON, nullable=False),
    Column("config_hash", String(64), nullable=False),
    Column("code_version", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("started_at", String(32)),
    Column("ended_at", String(32)),
    Column("deleted_at", String(32)),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("last_seq", Integer, nullable=False, server_default="0"),
    Column("heartbeat", Integer, nullable=False, server_default="0"),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("summary", JSON, nullable=False),
    Column("error", Text),
    Column("demonstration", Boolean, nullable=False, server_default="0"),
    Column("idempotency_key", String(255), unique=True),
    Index("run_by_status", "status"),
    Index("run_by_creation", "created_at", "id"),
)

event = Table(
    "event",
    metadata,
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("type", String(32), nullable=False),
    Column("at", String(32), nullable=False),
    Column("payload", JSON, nullable=False),
    Index("event_by_type", "run_id", "type", "seq"),
)

artifact = Table(
    "artifact",
    metadata,
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", Integer, nullable=False),
)

attempt = Table(
    "attempt",
    metadata,
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("device", String(16), nullable=False),
    Column("pid", Integer),
    Column("process_started", String(32)),
    Column("boot_id", String(64)),
    Column("claimed_at", String(32), nullable=False),
    Column("ended_at", String(32)),
    Column("outcome", Text),
)
