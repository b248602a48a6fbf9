"""Buckets and objects, and who may touch them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """An object that a request names.

    Attributes:
        bucket: the bucket's name.
        key: the object's key.
        version: of the object, as S3 counts them; None for the present one, which is the only one that is kept here.
    """

    bucket: str
    key: str
    version: str | None = None
