"""The service model as the wire sees it."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.loaders import Loader

from deconfuse.errors import Invalid
from deconfuse.wire.shapes import OPERATIONS, SCALARS, Shape, java_pattern, load_service

SERVICE = load_service("rekognition")


def below(shape: Shape) -> list[Shape]:
    """A shape and all that it holds."""
    parts = [*shape.members.values(), *(part for part in (shape.key, shape.inner) if part)]
    return [shape, *(deeper for part in parts for deeper in below(part))]


ASKED = {shape.name: shape for each in SERVICE.operations.values() for shape in below(each.input)}


def test_there_are_23_operations_of_custom_labels() -> None:
    """Each is in the model, and none twice."""
    assert len(set(OPERATIONS)) == len(OPERATIONS) == len(SERVICE.operations) == 23
    assert "DetectFaces" in SERVICE.others


def test_an_operation_that_the_model_lacks_is_named() -> None:
    """Whoever has too old a botocore is told so, instead of missing an operation."""
    with pytest.raises(Invalid, match="has no FlyToTheMoon; install a later botocore"):
        load_service("rekognition", ["CreateProject", "FlyToTheMoon"])


def test_every_kind_that_can_arrive_is_known() -> None:
    """A new kind in a later model is seen here, not by a client."""
    assert {shape.kind for shape in ASKED.values()} <= SCALARS - {"timestamp"} | {"structure", "list", "map"}


def test_every_pattern_has_a_longest_text() -> None:
    """Patterns are tried on texts of a bounded length only."""
    patterned = [s for s in ASKED.values() if any("pattern" in demand.text for demand in s.demands)]

    assert len(patterned) >= 15
    assert not [s.name for s in patterned if not any("less than" in demand.text for demand in s.demands)]


def test_a_users_own_models_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later model in ~/.aws/models or AWS_DATA_PATH, here an empty one, is not ours."""
    folder = tmp_path / "rekognition" / "2099-01-01"
    folder.mkdir(parents=True)
    (folder / "service-2.json").write_text("{}")
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    monkeypatch.setattr(Loader, "CUSTOMER_DATA_PATH", str(tmp_path))

    assert len(load_service("rekognition").operations) == 23


def test_server_faults_have_status_500() -> None:
    """Two errors of the model are the server's; all others are the client's."""
    assert {code for code, status in SERVICE.statuses.items() if status != 400} == {
        "InternalServerError",
        "ThrottlingException",
    }


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        (r"[a-zA-Z0-9_.\-]+", "a.b-c_9", True),
        (r"[a-zA-Z0-9_.\-]+", "a b", False),
        (r"[a-zA-Z0-9_.\-]+", "a\n", False),
        (r"^a$", "a\n", False),
        (r"\d{2}", "12", True),
        (r"\d{2}", "\u0661\u0662", False),
        (r".{1,}", "caf\u00e9 \u2615", True),
        (r".{1,}", "a\nb", False),
        (r".{1,}", "a\u2028b", False),
        (r".{1,}", "a\u0085b", False),
        (r".{1,}", "a\x0bb", True),
        (r".*\S.*", " \u00a0 ", True),
        (r".*\S.*", " \t ", False),
        (r"\.", "x", False),
        (r"[.]", "x", False),
        (r"^(?!aws:)[\p{L}\p{Z}\p{N}_.:/=+\-@]*$", "h\u00e9 \u4e2d\u0661", True),
        (r"^(?!aws:)[\p{L}\p{Z}\p{N}_.:/=+\-@]*$", "aws:x", False),
        (r"[a-zA-Z0-9-_. ()':,;?]+", "it's (a-b_c)?", True),
        (r"[a-zA-Z0-9-_. ()':,;?]+", "a=b", False),
        (r"[\u0009\u000A\u000D\u0020-\u00FF]+", '{"a":\t1}\r\n', True),
        (r"[\u0009\u000A\u000D\u0020-\u00FF]+", "\u0100", False),
    ],
)
def test_patterns_mean_what_they_mean_in_java(pattern: str, text: str, *, fits: bool) -> None:
    """The whole text, ASCII digits and blanks, Unicode letters where asked for, Java's line ends."""
    assert bool(java_pattern(pattern).fullmatch(text)) == fits
