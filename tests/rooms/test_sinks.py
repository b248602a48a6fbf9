"""A run directory appears whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from deconfuse.engine.sinks import DirectorySink, refuse_file, refuse_taken, world_error, write_whole
from deconfuse.errors import AlreadyExists, Denied, Invalid, NotFound, Unavailable


def names(folder: Path) -> list[str]:
    """What lies in `folder`."""
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_there_before_finish(tmp_path: Path) -> None:
    """The target appears with all its files in one step."""
    with DirectorySink(tmp_path / "run") as sink:
        sink.put("a", b"1")
        sink.put("b", [b"2", b"3"])
        before = (tmp_path / "run").exists()
        sink.finish()

    assert not before
    assert names(tmp_path) == ["run"]
    assert (tmp_path / "run" / "b").read_bytes() == b"23"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_whatever_ends_the_work_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    """An interrupted training leaves no file, and the empty target as it was."""
    (tmp_path / "run").mkdir()
    with pytest.raises(error), DirectorySink(tmp_path / "run") as sink:  # noqa: PT012
        sink.put("card.json", b"{}")
        raise error

    assert names(tmp_path) == ["run"]
    assert names(tmp_path / "run") == []


def test_an_empty_directory_is_replaced(tmp_path: Path) -> None:
    """A place that somebody made for the run is used."""
    (tmp_path / "run").mkdir()
    with DirectorySink(tmp_path / "run") as sink:
        sink.put("a", b"1")
        sink.finish()

    assert names(tmp_path / "run") == ["a"]


@pytest.mark.parametrize("kind", ["file", "full directory", "dangling link"])
def test_a_taken_place_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    """Nothing that existed is lost."""
    target = tmp_path / "run"
    if kind == "file":
        target.write_text("mine")
    elif kind == "dangling link":
        target.symlink_to(tmp_path / "nowhere")
    else:
        target.mkdir()
        (target / "mine").touch()

    with pytest.raises(AlreadyExists, match="run"):
        refuse_taken(target)
    with pytest.raises(AlreadyExists), DirectorySink(target):
        pass
    assert names(tmp_path) == ["run"]


def test_a_place_that_is_taken_meanwhile_is_left_alone(tmp_path: Path) -> None:
    """Two trainings into one place: the second to finish is told, and what the first wrote stays."""
    with DirectorySink(tmp_path / "run") as sink:
        sink.put("a", b"second")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "a").write_bytes(b"first")
        with pytest.raises(AlreadyExists):
            sink.finish()

    assert (tmp_path / "run" / "a").read_bytes() == b"first"
    assert names(tmp_path) == ["run"]


def test_parents_are_made(tmp_path: Path) -> None:
    """runs/<project>/<version> needs no preparation."""
    with DirectorySink(tmp_path / "runs" / "p" / "1") as sink:
        sink.finish()

    assert (tmp_path / "runs" / "p" / "1").is_dir()


def test_parents_that_were_made_for_nothing_go_again(tmp_path: Path) -> None:
    """A training that fails leaves no runs/<project>; what was there before, or others use, stays."""
    (tmp_path / "runs").mkdir()
    with pytest.raises(ValueError, match="bad"), DirectorySink(tmp_path / "runs" / "p" / "1"):
        raise ValueError("bad")
    assert names(tmp_path / "runs") == []

    with pytest.raises(ValueError, match="bad"), DirectorySink(tmp_path / "runs" / "p" / "1"):  # noqa: PT012
        (tmp_path / "runs" / "p" / "mine").touch()
        raise ValueError("bad")
    assert names(tmp_path / "runs" / "p") == ["mine"]


def test_a_parent_that_is_a_file_is_denied(tmp_path: Path) -> None:
    """The message names the path."""
    (tmp_path / "file").touch()

    with pytest.raises(Denied, match="file"), DirectorySink(tmp_path / "file" / "run"):
        pass


def test_a_file_is_not_replaced_unless_told(tmp_path: Path) -> None:
    """write_whole refuses first, replaces when asked, and leaves no temporary file."""
    write_whole(tmp_path / "page", b"1")
    with pytest.raises(AlreadyExists, match="--force"):
        write_whole(tmp_path / "page", b"2")
    write_whole(tmp_path / "page", b"3", replace=True)

    assert (tmp_path / "page").read_bytes() == b"3"
    assert names(tmp_path) == ["page"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """A report into nowhere says where nowhere is."""
    with pytest.raises(NotFound, match=r"missing\. Make it first"):
        write_whole(tmp_path / "missing" / "page", b"1")


def test_a_name_that_cannot_be_one_is_refused_with_the_words_of_the_system(tmp_path: Path) -> None:
    """Longer than a name may be, for a run and for a file."""
    with pytest.raises(Denied, match="too long"):
        refuse_taken(tmp_path / ("x" * 300))
    with pytest.raises(Denied, match="too long"):
        refuse_file(tmp_path / ("x" * 300), replace=False)


def test_a_dash_is_no_file() -> None:
    """Where a command cannot write to stdout, it does not write a file of that name either."""
    with pytest.raises(Invalid, match="name a file"):
        refuse_file(Path("-"), replace=True, option="--onnx")


def test_a_folder_is_no_place_for_a_file(tmp_path: Path) -> None:
    """The option that named it is named, and what to do instead."""
    with pytest.raises(Invalid, match=r"--onnx: .* is a folder; name a file in it"):
        refuse_file(tmp_path, replace=True, option="--onnx")


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, Unavailable), (errno.EDQUOT, Unavailable), (errno.EACCES, Denied), (errno.ENOENT, NotFound)],
)
def test_a_full_disk_is_not_a_refusal(number: int, kind: type[Exception]) -> None:
    """What may pass by itself and what will not are different errors."""
    assert isinstance(world_error(OSError(number, "?"), "path"), kind)
