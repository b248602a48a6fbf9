"""The tables: one definition for SQLite and PostgreSQL.

`METADATA` holds every table of the service. `migrations/` brings a database to this shape; a test compares the two.

Conventions: a time is a whole number of milliseconds since 1970 UTC, in a column that ends in `_ms`; a text that is
compared or sorted is `WORDS`, which sorts by code point on both databases; the key of an object is its UTF-8 bytes,
so that both databases list in the byte order of S3 and any character, NUL included, may stand in it.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

WORDS = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that sorts by code point, whatever the locale of the database."""

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

# The registry: written by store.registry.
