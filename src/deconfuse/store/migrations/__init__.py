"""The steps that bring a database to the shape of `store.schema`, run by Alembic when the database is opened.

`versions/` holds one file a step; each names the one before it. `scripts/migration.py` writes the next step from the
difference between the tables and the steps so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from deconfuse.errors import NotReady


def migrate(connection: Connection) -> None:
    """Run the steps that this database has not seen, inside the transaction of `connection`.

    Raises:
        NotReady: it has seen a step that is not known here: a newer deconfuse wrote it.
    """
    steps = ScriptDirectory(str(Path(__file__).parent))
    known = {step.revision for step in steps.walk_revisions()}

    def missing(seen: Any, context: MigrationContext) -> Sequence[Any]:
        return steps._upgrade_revs("head", seen)  # Alembic's cookbook names this for running without its env.py

    context = MigrationContext.configure(connection, opts={"fn": missing})
    if not known.issuperset(context.get_current_heads()):
        raise NotReady("the database was written by a newer deconfuse; use that version, or another database")
    if set(context.get_current_heads()) != set(steps.get_heads()):
        with Operations.context(context):
            context.run_migrations()
