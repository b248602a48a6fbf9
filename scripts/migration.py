"""Write the next step of the database: what differs between the tables of `store.schema` and the steps so far.

    python scripts/migration.py > src/deconfuse/store/migrations/versions/v0002_what_it_does.py

What comes out is a draft to be read, split into functions of under 60 lines and tested like any other code; run
`ruff format` over it. Columns that are renamed appear as removed and added: write those by hand.
"""

from __future__ import annotations

import sys

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations.ops import UpgradeOps
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from deconfuse.store import migrations
from deconfuse.store.migrations import migrate
from deconfuse.store.schema import METADATA

HEAD = '''"""SAY WHAT IT DOES."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{number:04d}"
down_revision = {before!r}


def upgrade() -> None:
    """SAY WHAT IT DOES."""
'''


def main() -> None:
    """Print the step."""
    steps = ScriptDirectory(str(migrations.__path__[0]))
    with create_engine("sqlite://").begin() as connection:
        migrate(connection)
        script = produce_migrations(MigrationContext.configure(connection), METADATA)
    assert isinstance(script.upgrade_ops, UpgradeOps)
    code = render_python_code(script.upgrade_ops)
    before = steps.get_current_head()
    sys.stdout.write(HEAD.format(number=int(before or 0) + 1, before=before) + f"    {code}\n")


if __name__ == "__main__":
    main()
