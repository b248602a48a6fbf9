"""The tables of the first release: objects, then the registry."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table, each after those that it refers to."""
    _buckets()
    _objects()
    _uploads()
    _parts()
    _linked_files()
    _jobs()
    _keys()
    _projects()
    _tags()
    _datasets()
    _policies()
    _versions()
    _entries()
    _entry_labels()


def _buckets() -> None:
    op.create_table(
        "buckets",
        sa.Column("name", _WORDS, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False, comment="the location constraint as it was given, or empty"),
        sa.Column(
            "folder",
            sa.Text(),
            nullable=True,
            comment="the folder that a linked bucket shows; null for a bucket of our own",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_buckets")),
        sqlite_with_rowid=False,
    )


def _objects() -> None:
    op.create_table(
        "objects",
        sa.Column("bucket", _WORDS, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("blob", _WORDS, nullable=False, comment="the name of the file that holds the bytes"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False, comment="without quotes"),
        sa.Column("modified_ms", sa.BigInteger(), nullable=False),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("user_metadata", sa.JSON(), nullable=False),
        sa.Column("checksums", sa.JSON(), nullable=False, comment="algorithm to base64"),
        sa.Column("part_sizes", sa.JSON(), nullable=False, comment="bytes of each part; empty unless made of parts"),
        sa.Column(
            "upload",
            sa.Text(),
            nullable=True,
            comment="the upload that made it, so that completing again answers the same",
        ),
        sa.ForeignKeyConstraint(["bucket"], ["buckets.name"], name=op.f("fk_objects_bucket")),
        sa.PrimaryKeyConstraint("bucket", "key", name=op.f("pk_objects")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_objects_blob", "objects", ["blob"], unique=True)


def _uploads() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", _WORDS, nullable=False),
        sa.Column("bucket", _WORDS, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("touched_ms", sa.BigInteger(), nullable=False, comment="when its last part came"),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("user_metadata", sa.JSON(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=True, comment="of the checksums that its parts carry, or null"),
        sa.Column(
            "is_composite", sa.Integer(), nullable=False, comment="1: checksum of checksums; 0: of the whole object"
        ),
        sa.ForeignKeyConstraint(["bucket"], ["buckets.name"], name=op.f("fk_uploads_bucket")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_uploads_bucket_key_id", "uploads", ["bucket", "key", "id"], unique=True)


def _parts() -> None:
    op.create_table(
        "parts",
        sa.Column("upload", _WORDS, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("blob", _WORDS, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("modified_ms", sa.BigInteger(), nullable=False),
        sa.Column("checksums", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["upload"], ["uploads.id"], name=op.f("fk_parts_upload"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("upload", "number", name=op.f("pk_parts")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_parts_blob", "parts", ["blob"], unique=True)


def _linked_files() -> None:
    op.create_table(
        "linked_files",
        sa.Column("bucket", _WORDS, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("modified_ns", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False, comment="the md5 of the file when it had this size and time"),
        sa.ForeignKeyConstraint(["bucket"], ["buckets.name"], name=op.f("fk_linked_files_bucket"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("bucket", "key", name=op.f("pk_linked_files")),
        sqlite_with_rowid=False,
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", _ID, nullable=False),
        sa.Column("kind", _WORDS, nullable=False, comment="what is to be done"),
        sa.Column("noun", _WORDS, nullable=False, comment="to what: project, dataset or version"),
        sa.Column("subject_id", _ID, nullable=False, comment="and to which"),
        sa.Column("payload", sa.JSON(), nullable=False, comment="what its worker must know"),
        sa.Column("status", _WORDS, nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("percent", sa.Double(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("n_attempts", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True, comment="who has it, while it runs"),
        sa.Column("beat_ms", sa.BigInteger(), nullable=True, comment="when its worker was last heard of"),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_noun_subject_id", "jobs", ["noun", "subject_id"], unique=False)
    op.create_index("ix_jobs_status_id", "jobs", ["status", "id"], unique=False)


def _keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", _WORDS, nullable=False, comment="the access key id"),
        sa.Column("secret", sa.Text(), nullable=False, comment="in clear: a signature is checked by making it again"),
        sa.Column("access", sa.Text(), nullable=False, comment="full or read"),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
        sqlite_with_rowid=False,
    )


def _projects() -> None:
    op.create_table(
        "projects",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", _WORDS, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("auto_update", sa.Text(), nullable=True, comment="kept and told again; it means nothing here"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_projects_name", "projects", ["name"], unique=True)


def _tags() -> None:
    op.create_table(
        "tags",
        sa.Column("noun", _WORDS, nullable=False, comment="project, dataset or version"),
        sa.Column("subject_id", _ID, autoincrement=False, nullable=False),
        sa.Column("key", _WORDS, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("noun", "subject_id", "key", name=op.f("pk_tags")),
        sqlite_with_rowid=False,
    )


def _datasets() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", _ID, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="train or test"),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="SUCCESS, CLIENT_ERROR or SERVICE_ERROR"),
        sa.Column("n_entries", sa.Integer(), nullable=False),
        sa.Column("n_labeled", sa.Integer(), nullable=False),
        sa.Column("n_labels", sa.Integer(), nullable=False),
        sa.Column("n_errors", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_datasets_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_datasets_project_id_kind", "datasets", ["project_id", "kind"], unique=True)


def _policies() -> None:
    op.create_table(
        "policies",
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("name", _WORDS, nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_policies_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "name", name=op.f("pk_policies")),
        sqlite_with_rowid=False,
    )


def _versions() -> None:
    op.create_table(
        "versions",
        sa.Column("id", _ID, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("name", _WORDS, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("output_bucket", sa.Text(), nullable=False),
        sa.Column("output_prefix", sa.Text(), nullable=False),
        sa.Column("given", sa.JSON(), nullable=False, comment="what the caller gave and is told again"),
        sa.Column("source", sa.Text(), nullable=True, comment="the ARN of the version that it is a copy of"),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True, comment="when training or copying ended"),
        sa.Column("billable_seconds", sa.BigInteger(), nullable=True),
        sa.Column("f1", sa.Double(), nullable=True),
        sa.Column("outcome", sa.JSON(none_as_null=True), nullable=True, comment="what the training left"),
        sa.Column("min_units", sa.Integer(), nullable=True),
        sa.Column("max_units", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_versions_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_versions_project_id_id", "versions", ["project_id", "id"], unique=False)
    op.create_index("ix_versions_project_id_name", "versions", ["project_id", "name"], unique=True)


def _entries() -> None:
    op.create_table(
        "entries",
        sa.Column("id", _ID, nullable=False, comment="its place: entries are listed by it"),
        sa.Column("dataset_id", _ID, nullable=False),
        sa.Column("source_key", sa.LargeBinary(), nullable=False, comment="source_ref, or its head and sha256"),
        sa.Column("is_labeled", sa.Boolean(), nullable=False),
        sa.Column("has_errors", sa.Boolean(), nullable=False),
        sa.Column("source_ref", sa.Text(), nullable=False),
        sa.Column("line", sa.LargeBinary(), nullable=False, comment="a line of the manifest in UTF-8, without its end"),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name=op.f("fk_entries_dataset_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entries")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_entries_dataset_id_id", "entries", ["dataset_id", "id", "is_labeled", "has_errors"], unique=False
    )
    op.create_index("ix_entries_dataset_id_source_key", "entries", ["dataset_id", "source_key"], unique=True)


def _entry_labels() -> None:
    op.create_table(
        "entry_labels",
        sa.Column("entry_id", _ID, nullable=False),
        sa.Column("label", _WORDS, nullable=False),
        sa.Column(
            "dataset_id", _ID, nullable=False, comment="that of the entry, so that labels are counted without it"
        ),
        sa.Column("is_on_box", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"], ["entries.id"], name=op.f("fk_entry_labels_entry_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("entry_id", "label", name=op.f("pk_entry_labels")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_entry_labels_dataset_id_label", "entry_labels", ["dataset_id", "label", "is_on_box"], unique=False
    )
