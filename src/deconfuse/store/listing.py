"""Pages of keys: what S3's prefix, delimiter and "start after" mean, for any source that can seek.

A source is a function that gives the next entries in byte order after a key. A common prefix is jumped over by
seeking to the last key that could begin with it, so a page costs as many seeks as it shows prefixes, however many
keys lie below them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from deconfuse.errors import Invalid
from deconfuse.store.objects import MAX_PAGE, Page, Stored

T = TypeVar("T")

Seek = Callable[[bytes, int], Sequence[tuple[bytes, T]]]
"""(after, n) -> the next n entries (key, value) with key > after, in byte order; fewer only at the end."""

_SEEK_ENTRIES = 100
_ABOVE_ALL = b"\xff"  # no UTF-8 holds this byte: it sorts after every continuation of a prefix


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page is to show.

    Attributes:
        prefix: what every key begins with.
        delimiter: a key that holds it behind the prefix is shown as the common prefix that ends there, once; empty
            shows every key.
        after: only what sorts after it is shown.
        limit: how many keys and common prefixes at most, 0 to 1,000.
    """

    prefix: bytes
    delimiter: bytes
    after: bytes
    limit: int

    @classmethod
    def of(cls, *, prefix: str, delimiter: str, after: str, limit: int) -> Self:
        """The same from text; a limit above 1,000 is 1,000.

        Raises:
            Invalid: a text that cannot be UTF-8, or a negative limit; the field names it.
        """
        if limit < 0:
            raise Invalid("limit", f"{limit} is negative")
        return cls(
            prefix=_encoded("prefix", prefix),
            delimiter=_encoded("delimiter", delimiter),
            after=_encoded("after", after),
            limit=min(limit, MAX_PAGE),
        )


@dataclass(frozen=True, slots=True)
class Keys(Generic[T]):
    """A page, in byte order.

    Attributes:
        entries: (key, value) of each key that is shown itself.
        prefixes: the common prefixes.
        next_after: the last that was shown, where something is left; otherwise None.
    """

    entries: tuple[tuple[bytes, T], ...]
    prefixes: tuple[bytes, ...]
    next_after: bytes | None


def page_of_keys(seek: Seek[T], wanted: Wanted) -> Keys[T]:
    """A page of the keys of a source, all of which begin with `wanted.prefix`."""
    prefix, delimiter, after, limit = wanted.prefix, wanted.delimiter, wanted.after, wanted.limit
    entries: list[tuple[bytes, T]] = []
    prefixes: list[bytes] = []
    low = last = after
    passed = b""
    while limit > 0:
        n = _SEEK_ENTRIES if delimiter else limit + 1 - len(entries)
        found = seek(low, n)
        for key, value in found:
            if passed and key.startswith(passed):
                continue
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            shown = key if cut < 0 else key[: cut + len(delimiter)]
            if cut >= 0:
                passed = shown
            if shown <= after:
                continue
            if len(entries) + len(prefixes) == limit:
                return Keys(tuple(entries), tuple(prefixes), last)
            if cut < 0:
                entries.append((key, value))
            else:
                prefixes.append(shown)
            last = shown
        if len(found) < n:
            break
        final = found[-1][0]
        low = passed + _ABOVE_ALL if passed and final.startswith(passed) else final
    return Keys(tuple(entries), tuple(prefixes), None)


def page_of_objects(seek: Seek[Stored], wanted: Wanted) -> Page:
    """The same as a page of objects."""
    keys = page_of_keys(seek, wanted)
    return to_page(keys, tuple(stored for _, stored in keys.entries))


def to_page(keys: Keys[T], objects: tuple[Stored, ...]) -> Page:
    """A page of `keys` that shows `objects` for its entries."""
    next_after = None if keys.next_after is None else keys.next_after.decode()
    return Page(objects, tuple(prefix.decode() for prefix in keys.prefixes), next_after)


def _encoded(field: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Invalid(field, f"{text[:80]!r} cannot be written as UTF-8") from None
