"""Database tables. Arrays are files in the data directory; `artifact` has their hash and size."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

KNOWN_REVISIONS = ("0001", "0002", "0003")
"""Revisions of the schema, oldest first; each has a file in `migrations/versions`."""
HEAD_REVISION = KNOWN_REVISIONS[-1]

metadata = MetaData()

# One row: the store id, which the data directories of the store also have (see `identity`), and the session key.
store = Table(
    "store",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", String(32), nullable=False),
    Column("signing_key", Text, nullable=False),
)

# The data directories that belong to this store.
directory = Table(
    "directory",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("path", Text, nullable=False),
    Column("host", String(64), nullable=False),
    Column("joined_at", String(32), nullable=False),
)

# Which data directory has a folder `runs/ID`. No foreign key to `run`: the row outlives the run, so that clean-up can
# remove the rest of the folder, and never touches a folder that was not registered.
run_folder = Table(
    "run_folder",
    metadata,
    Column("run_id", String(16), primary_key=True),
    Column("directory_id", String(32), primary_key=True),
    Column("registered_at", String(32), nullable=False),
)

run = Table(
    "run",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", String(16), nullable=False),
    # What the user requested of a running run: `run`, `pause` or `cancel`.
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
    # Runs start in the order of descending priority, then ascending position.
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("position", Integer, nullable=False, server_default="0"),
    Column("time_limit_s", Float),
    Column("running_s", Float, nullable=False, server_default="0"),
    Column("cloned_from", String(16)),
    Column("notes", Text, nullable=False, server_default=""),
    # The few metrics of `summary` by which runs are usually sorted and filtered; reading all of it is ten times slower.
    Column("headline", JSON, nullable=False, server_default="{}"),
    Index("run_by_status", "status"),
    Index("run_by_group", "group"),
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
    Column("size_bytes", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    # The data directory that holds the file; null for files that were written before directories had ids.
    Column("directory_id", String(32)),
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
    Column("host", String(64)),
    Column("claimed_at", String(32), nullable=False),
    Column("ended_at", String(32)),
    Column("outcome", Text),
)

# Aggregated curves (see `curves`): a row of level 1 has the extremes of `curves.BUCKET_SIZE` epochs or reported steps,
# a row of level 2 those of as many rows of level 1, and so on.
bucket = Table(
    "bucket",
    metadata,
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("level", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("payload", JSON, nullable=False),
)

# Resource use of worker processes, a few times a minute.
reading = Table(
    "reading",
    metadata,
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("at", String(32), primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("cpu_percent", Float, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("gpu_percent", Float),
    Column("gpu_memory_bytes", BigInteger),
)

# Access tokens beside the server's own; only hashes are stored.
token = Table(
    "token",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scope", String(16), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("expires_at", String(32)),
    Column("revoked_at", String(32)),
)

# Logged-in browsers. Only hashes are stored: of the session id, and of the token that opened the session.
session = Table(
    "session",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("token_digest", String(64), nullable=False),
    # Null for the server's own token.
    Column("token_id", String(16)),
    Column("created_at", String(32), nullable=False),
    Column("used_at", String(32), nullable=False),
    Index("session_by_token", "token_digest"),
)

# Audit log. `run_id` is no foreign key: the entry outlives the run.
audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", String(32), nullable=False),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("run_id", String(16)),
    Column("status", Integer, nullable=False),
    # Null for the server's own token.
    Column("token_id", String(16)),
    Index("audit_by_run", "run_id", "number"),
)

# Previews of clean-ups; a deletion names one of them.
gc_plan = Table(
    "gc_plan",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("directory_id", String(32), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("rules", JSON, nullable=False),
    Column("items", JSON, nullable=False),
    Column("deleted_at", String(32)),
)

# One row that supervisors update to measure how long a write takes.
pulse = Table(
    "pulse",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("beats", Integer, nullable=False),
)
