"""Tables. The database is the only truth; arrays are files beside it, with their hash and size in `artifact`."""

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

metadata = MetaData()

# One row: the id that the data directories of this store carry too (see `identity`), and the key that signs sessions.
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

# Which data directory has a folder `runs/ID`. No foreign key to `run`: the row outlives the run, so that clean-up may
# remove what is left of the folder, and nothing that was never registered.
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
    # Higher priorities go first; within one, lower positions.
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("position", Integer, nullable=False, server_default="0"),
    Column("time_limit_s", Float),
    Column("running_s", Float, nullable=False, server_default="0"),
    Column("cloned_from", String(16)),
    Column("notes", Text, nullable=False, server_default=""),
    # The few numbers of `summary` by which runs are mostly sorted and filtered: reading all of it costs ten times more.
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

# Curves, folded (see `curves`): a row of level 1 holds the least and the greatest values of `curves.WIDTH` epochs or
# reported steps, one of level 2 those of as many rows of level 1, and so on.
bucket = Table(
    "bucket",
    metadata,
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("level", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("payload", JSON, nullable=False),
)

# What a worker's process takes of the machine, some times a minute.
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

# Further tokens beside the server's own; only their hashes are kept.
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

# A browser that is logged in. Only digests are kept: of the session's own id, and of the token that it was opened with.
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

# Who changed what. `run_id` is no foreign key: the entry outlives the run.
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

# What a clean-up would remove, as it was shown; deleting names one of these.
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

# One row that a supervisor writes to find out whether the database can be written at all.
pulse = Table(
    "pulse",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("beats", Integer, nullable=False),
)
