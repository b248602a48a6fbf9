"""The tables: one definition for SQLite and PostgreSQL.

`METADATA` holds every table of the service. `migrations/` brings a database to this shape; a test compares the two.

Conventions: a time is a whole number of milliseconds since 1970 UTC, in a column that ends in `_ms`; a text that is
compared or sorted is `WORDS`, which sorts by code point on both databases, and with which any text may be compared;
the key of an object is its UTF-8 bytes, so that both databases list in the byte order of S3 and any character, NUL
included, may stand in it.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.engine import Dialect

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class _Words(TypeDecorator[str]):
    """Text with which any text may be compared.

    What cannot be kept is not found, and has its place among what is sorted: for a NUL, which PostgreSQL does not take,
    U+0001 is sought, which no name holds; for half a surrogate pair, a question mark. What is written is looked at
    before (`rows.check_storable`).
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.encode("utf-8", "replace").decode().replace("\0", "\x01")


WORDS = _Words().with_variant(_Words(collation="C"), "postgresql")
"""Text that sorts by code point, whatever the locale of the database."""

IDENTITY = Table(
    "identity",
    METADATA,
    Column("token", WORDS, primary_key=True, comment="32 hexadecimal digits; a copy of the database keeps them"),
    sqlite_with_rowid=False,
)
"""One row, written with the table: objects that lie elsewhere know their database by it."""

# Objects: written by store.local and store.multipart.

BUCKETS = Table(
    "buckets",
    METADATA,
    Column("name", WORDS, primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("location", Text, nullable=False, comment="the location constraint as it was given, or empty"),
    Column("folder", Text, comment="the folder that a linked bucket shows; null for a bucket of our own"),
    sqlite_with_rowid=False,
)

OBJECTS = Table(
    "objects",
    METADATA,
    Column("bucket", WORDS, ForeignKey("buckets.name"), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("blob", WORDS, nullable=False, comment="the name of the file that holds the bytes"),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", Text, nullable=False, comment="without quotes"),
    Column("modified_ms", BigInteger, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("user_metadata", JSON, nullable=False),
    Column("checksums", JSON, nullable=False, comment="algorithm to base64"),
    Column("part_sizes", JSON, nullable=False, comment="bytes of each part; empty unless made of parts"),
    Column("upload", Text, comment="the upload that made it, so that completing again answers the same"),
    Index("ix_objects_blob", "blob", unique=True),
    sqlite_with_rowid=False,
)

UPLOADS = Table(
    "uploads",
    METADATA,
    Column("id", WORDS, primary_key=True),
    Column("bucket", WORDS, ForeignKey("buckets.name"), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("touched_ms", BigInteger, nullable=False, comment="when its last part came"),
    Column("headers", JSON, nullable=False),
    Column("user_metadata", JSON, nullable=False),
    Column("algorithm", Text, comment="of the checksums that its parts carry, or null"),
    Column("is_composite", Integer, nullable=False, comment="1: checksum of checksums; 0: of the whole object"),
    Index("ix_uploads_bucket_key_id", "bucket", "key", "id", unique=True),
    sqlite_with_rowid=False,
)

PARTS = Table(
    "parts",
    METADATA,
    Column("upload", WORDS, ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("blob", WORDS, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    Column("modified_ms", BigInteger, nullable=False),
    Column("checksums", JSON, nullable=False),
    Index("ix_parts_blob", "blob", unique=True),
    sqlite_with_rowid=False,
)

LINKED_FILES = Table(
    "linked_files",
    METADATA,
    Column("bucket", WORDS, ForeignKey("buckets.name", ondelete="CASCADE"), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("modified_ns", BigInteger, nullable=False),
    Column("etag", Text, nullable=False, comment="the md5 of the file when it had this size and time"),
    sqlite_with_rowid=False,
)

# Registry: written by store.projects, store.datasets, store.versions, store.jobs and store.keys.

NUMBERS = BigInteger().with_variant(Integer, "sqlite")
"""A key that the database counts up and, with `sqlite_autoincrement`, never gives twice."""

PROJECTS = Table(
    "projects",
    METADATA,
    Column("id", NUMBERS, primary_key=True),
    Column("name", WORDS, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("feature", Text, nullable=False),
    Column("auto_update", Text, comment="kept and told again; it means nothing here"),
    Index("ix_projects_name", "name", unique=True),
    sqlite_autoincrement=True,
)

POLICIES = Table(
    "policies",
    METADATA,
    Column("project_id", NUMBERS, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("name", WORDS, primary_key=True),
    Column("revision", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

DATASETS = Table(
    "datasets",
    METADATA,
    Column("id", NUMBERS, primary_key=True),
    Column("project_id", NUMBERS, ForeignKey("projects.id"), nullable=False),
    Column("kind", Text, nullable=False, comment="train or test"),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("code", Text, nullable=False, comment="SUCCESS, CLIENT_ERROR or SERVICE_ERROR"),
    Column("n_entries", Integer, nullable=False),
    Column("n_labeled", Integer, nullable=False),
    Column("n_labels", Integer, nullable=False),
    Column("n_errors", Integer, nullable=False),
    Index("ix_datasets_project_id_kind", "project_id", "kind", unique=True),
    sqlite_autoincrement=True,
)

ENTRIES = Table(
    "entries",
    METADATA,
    Column("id", NUMBERS, primary_key=True, comment="its place: entries are listed by it"),
    Column("dataset_id", NUMBERS, ForeignKey("datasets.id"), nullable=False),
    # An address of 1,024 characters is too long for an index of PostgreSQL.
    Column("source_key", LargeBinary, nullable=False, comment="source_ref, or its head and sha256"),
    Column("is_labeled", Boolean, nullable=False),
    Column("has_errors", Boolean, nullable=False),
    Column("source_ref", Text, nullable=False),
    Column("line", LargeBinary, nullable=False, comment="a line of the manifest in UTF-8, without its end"),
    Index("ix_entries_dataset_id_source_key", "dataset_id", "source_key", unique=True),
    Index("ix_entries_dataset_id_id", "dataset_id", "id", "is_labeled", "has_errors"),
    sqlite_autoincrement=True,
)

ENTRY_LABELS = Table(
    "entry_labels",
    METADATA,
    Column("entry_id", NUMBERS, ForeignKey("entries.id", ondelete="CASCADE"), primary_key=True),
    Column("label", WORDS, primary_key=True),
    Column("dataset_id", NUMBERS, nullable=False, comment="that of the entry, so that labels are counted without it"),
    Column("is_on_box", Boolean, nullable=False),
    Index("ix_entry_labels_dataset_id_label", "dataset_id", "label", "is_on_box"),
    sqlite_with_rowid=False,
)

VERSIONS = Table(
    "versions",
    METADATA,
    Column("id", NUMBERS, primary_key=True),
    Column("project_id", NUMBERS, ForeignKey("projects.id"), nullable=False),
    Column("name", WORDS, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("output_bucket", Text, nullable=False),
    Column("output_prefix", Text, nullable=False),
    Column("given", JSON, nullable=False, comment="what the caller gave and is told again"),
    Column("source", Text, comment="the ARN of the version that it is a copy of"),
    Column("ended_ms", BigInteger, comment="when training or copying ended"),
    Column("billable_seconds", BigInteger),
    Column("f1", Double),
    Column("outcome", JSON(none_as_null=True), comment="what the training left"),
    Column("min_units", Integer),
    Column("max_units", Integer),
    Index("ix_versions_project_id_name", "project_id", "name", unique=True),
    Index("ix_versions_project_id_id", "project_id", "id"),
    sqlite_autoincrement=True,
)

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", NUMBERS, primary_key=True),
    Column("kind", WORDS, nullable=False, comment="what is to be done"),
    Column("noun", WORDS, nullable=False, comment="to what: project, dataset or version"),
    Column("subject_id", NUMBERS, nullable=False, comment="and to which"),
    Column("payload", JSON, nullable=False, comment="what its worker must know"),
    Column("status", WORDS, nullable=False),
    Column("message", Text, nullable=False),
    Column("percent", Double, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("n_attempts", Integer, nullable=False),
    Column("worker", Text, comment="who has it, while it runs"),
    Column("beat_ms", BigInteger, comment="when its worker was last heard of"),
    Column("ended_ms", BigInteger),
    Index("ix_jobs_status_id", "status", "id"),
    Index("ix_jobs_noun_subject_id", "noun", "subject_id"),
    sqlite_autoincrement=True,
)

KEYS = Table(
    "keys",
    METADATA,
    Column("id", WORDS, primary_key=True, comment="the access key id"),
    Column("secret", Text, nullable=False, comment="in clear: a signature is checked by making it again"),
    Column("access", Text, nullable=False, comment="full or read"),
    Column("note", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
    sqlite_with_rowid=False,
)

TAGS = Table(
    "tags",
    METADATA,
    Column("noun", WORDS, primary_key=True, comment="project, dataset or version"),
    Column("subject_id", NUMBERS, primary_key=True, autoincrement=False),
    Column("key", WORDS, primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)
