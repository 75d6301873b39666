"""Store and directory ids, registered run folders, sessions, tokens that expire, previewed clean-ups."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "store",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("signing_key", sa.Text, nullable=False),
    )
    op.create_table(
        "directory",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("host", sa.String(64), nullable=False),
        sa.Column("joined_at", sa.String(32), nullable=False),
    )
    op.create_table(
        "run_folder",
        sa.Column("run_id", sa.String(16), primary_key=True),
        sa.Column("directory_id", sa.String(32), primary_key=True),
        sa.Column("registered_at", sa.String(32), nullable=False),
    )
    op.add_column("artifact", sa.Column("directory_id", sa.String(32)))
    op.add_column("token", sa.Column("expires_at", sa.String(32)))
    op.execute("UPDATE token SET scope = 'admin' WHERE scope = 'all'")
    op.add_column("audit", sa.Column("token_id", sa.String(16)))
    op.create_table(
        "session",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("token_digest", sa.String(64), nullable=False),
        sa.Column("token_id", sa.String(16)),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("used_at", sa.String(32), nullable=False),
    )
    op.create_index("session_by_token", "session", ["token_digest"])
    op.create_table(
        "gc_plan",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("directory_id", sa.String(32), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("rules", sa.JSON, nullable=False),
        sa.Column("items", sa.JSON, nullable=False),
        sa.Column("deleted_at", sa.String(32)),
    )
