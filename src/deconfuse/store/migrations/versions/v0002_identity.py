"""Each database has an identity, by which objects that lie elsewhere know it."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table with its one row."""
    table = op.create_table(
        "identity",
        sa.Column("token", _WORDS, nullable=False, comment="32 hexadecimal digits; a copy of the database keeps them"),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_identity")),
        sqlite_with_rowid=False,
    )
    op.bulk_insert(table, [{"token": secrets.token_hex(16)}])
