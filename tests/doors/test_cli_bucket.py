"""`deconfuse bucket`: folders shown as read-only buckets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deconfuse.server.home import Address, Home
from worlds import label_folder

Command = Callable[..., Any]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with three images."""
    return label_folder(tmp_path / "photos", {"leaf": 3})


def test_a_folder_is_shown_and_hidden_again(deconfuse: Command, photos: Path, tmp_path: Path) -> None:
    """Linking makes a home where there is none; nothing in the folder changes."""
    home = ("--home", tmp_path / "home")
    before = sorted(photos.rglob("*"))
    linked = deconfuse("bucket", "link", "holidays", photos, *home)
    shown = deconfuse("bucket", "list", *home)
    hidden = deconfuse("bucket", "unlink", "holidays", *home)

    assert (linked.code, shown.out, hidden.code) == (0, f"holidays  shows {photos}\n", 0)
    assert deconfuse("bucket", "list", *home).out == ""
    assert sorted(photos.rglob("*")) == before


def test_linking_again_changes_nothing(deconfuse: Command, photos: Path, tmp_path: Path) -> None:
    """So that a script may repeat it; another folder under the name is refused. A folder that has gone is marked."""
    home = ("--home", tmp_path / "home")
    codes = [deconfuse("bucket", "link", "holidays", photos, *home).code for _ in range(2)]
    other = deconfuse("bucket", "link", "holidays", photos / "leaf", *home)
    photos.rename(tmp_path / "elsewhere")

    assert (codes, other.code) == ([0, 0], 4)
    assert deconfuse("bucket", "list", *home).out == f"holidays  shows {photos}  (not there)\n"


def test_a_relative_folder_is_meant_from_here(deconfuse: Command, photos: Path, tmp_path: Path) -> None:
    """The server, which may be at work elsewhere, gets the whole path."""
    deconfuse("bucket", "--home", tmp_path / "home", "link", "holidays", photos.name)

    assert str(photos) in deconfuse("bucket", "--home", tmp_path / "home", "list").out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["link", "healthz", "photos"], 2, "healthz"),
        (["link", "metrics", "photos"], 2, "metrics"),
        (["link", "-", "photos"], 2, "'-'"),
        (["link", "_deconfuse", "photos"], 2, "_deconfuse"),
        (["link", "Holidays", "photos"], 2, "Holidays"),
        (["link", "ab", "photos"], 2, "ab"),
        (["link", "10.0.0.1", "photos"], 2, "10.0.0.1"),
        (["link", "holidays", "nothing"], 3, "nothing"),
        (["link", "holidays", "photos/leaf/leaf-0.png"], 3, "leaf-0.png"),
        (["link", "holidays", "home"], 2, "lie in one another"),
        (["link", "holidays", "."], 2, "lie in one another"),
        (["link", "taken", "photos/leaf"], 4, "taken"),
        (["link", "holidays"], 2, "DIR"),
        (["unlink", "nothing"], 3, "nothing"),
        (["unlink", "_deconfuse"], 3, "_deconfuse"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_what_cannot_be_linked_is_said(
    deconfuse: Command, photos: Path, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    """A name that no bucket can have, a folder that is not there or holds the store, a name that is taken."""
    home = ("--home", tmp_path / "home")
    deconfuse("bucket", "link", "taken", photos, *home)
    answer = deconfuse("bucket", *home, *words)

    assert (answer.code, said in answer.err) == (code, True), answer.err
    assert deconfuse("bucket", "list", *home).out == f"taken  shows {photos}\n"


def test_reading_a_home_makes_none(deconfuse: Command, tmp_path: Path) -> None:
    """A wrong --home is said, and not made."""
    for words in (["list"], ["unlink", "photos"]):
        assert deconfuse("bucket", *words, "--home", tmp_path / "home").code == 3
    assert not (tmp_path / "home").exists()


def test_where_objects_are_in_an_s3_there_is_nothing_to_link(
    deconfuse: Command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the setting says so, or the last server from this home."""
    home = Home(tmp_path / "home")
    home.make()
    home.write_address(Address("http://127.0.0.1:8750", "https://s3.example.org", "us-east-1"))
    by_address = deconfuse("bucket", "link", "holidays", photos, "--home", home.path)
    monkeypatch.setenv("DECONFUSE_STORE", "s3://company/ours")
    by_setting = deconfuse("bucket", "link", "holidays", photos, "--home", tmp_path / "other")

    assert (by_address.code, by_setting.code) == (2, 2)
    assert "in an S3" in by_address.err
