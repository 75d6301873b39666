"""Queue order, time limits, readings, curves by bucket, tokens, audit."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for column in (
        sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
        sa.Column("position", sa.Integer, nullable=False, server_default="0"),
        sa.Column("time_limit_s", sa.Float),
        sa.Column("running_s", sa.Float, nullable=False, server_default="0"),
        sa.Column("cloned_from", sa.String(16)),
        sa.Column("notes", sa.Text, nullable=False, server_default=""),
        sa.Column("headline", sa.JSON, nullable=False, server_default="{}"),
    ):
        op.add_column("run", column)
    op.create_index("run_by_group", "run", ["group"])
    op.add_column("attempt", sa.Column("host", sa.String(64)))
    op.create_table(
        "bucket",
        sa.Column("run_id", sa.String(16), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("level", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("payload", sa.JSON, nullable=False),
    )
    op.create_table(
        "reading",
        sa.Column("run_id", sa.String(16), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("at", sa.String(32), primary_key=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("cpu_percent", sa.Float, nullable=False),
        sa.Column("memory_bytes", sa.BigInteger, nullable=False),
        sa.Column("gpu_percent", sa.Float),
        sa.Column("gpu_memory_bytes", sa.BigInteger),
    )
    op.create_table(
        "token",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("revoked_at", sa.String(32)),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("run_id", sa.String(16)),
        sa.Column("status", sa.Integer, nullable=False),
    )
    op.create_index("audit_by_run", "audit", ["run_id", "number"])
    op.create_table("pulse", sa.Column("id", sa.Integer, primary_key=True), sa.Column("beats", sa.Integer, nullable=False))
    op.execute("INSERT INTO pulse (id, beats) VALUES (1, 0)")
    # Runs that wait already keep the order in which they came.
    op.execute(
        "UPDATE run SET position = found.place FROM "
        "(SELECT id, row_number() OVER (ORDER BY created_at, id) AS place FROM run) AS found WHERE found.id = run.id"
    )
    run = sa.table("run", sa.column("id"), sa.column("summary", sa.JSON), sa.column("headline", sa.JSON))
    keys = ("loss", "top1", "nc1", "nc2_equiangular_means", "nc3", "nc4_ncc_mismatch")
    connection = op.get_bind()
    for row in connection.execute(sa.select(run.c.id, run.c.summary)).all():
        found = {
            f"{split}.{key}": row.summary[split][key]
            for split in ("train", "test")
            for key in keys
            if key in row.summary.get(split, {})
        }
        connection.execute(run.update().where(run.c.id == row.id).values(headline=found))
    if connection.dialect.name == "postgresql":
        op.alter_column("artifact", "size_bytes", type_=sa.BigInteger)
