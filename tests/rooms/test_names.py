"""Names, labels and addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse import names
from deconfuse.errors import Invalid


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "é", "x" * 256, "a\n"])
def test_a_name_that_no_api_would_take_is_refused(name: str) -> None:
    """Project and version names follow AWS's pattern and never name a folder above."""
    with pytest.raises(Invalid, match="project"):
        names.check_name("project", name)


@given(st.text())
def test_any_text_can_be_reduced_to_a_name(text: str) -> None:
    """What reduce_name gives is always a name."""
    reduced = names.reduce_name(text)

    assert names.check_name("project", reduced) == reduced


@given(st.text(alphabet="abcXYZ019_.-", min_size=1, max_size=255).filter(lambda name: name.strip("-.") == name))
def test_a_name_is_reduced_to_itself(name: str) -> None:
    """A good name is left alone."""
    assert names.reduce_name(name) == name


def test_the_next_version_is_above_every_number() -> None:
    """Names that are no numbers do not count."""
    assert names.next_version(["9", "10", "final", "11b"]) == "11"
    assert names.next_version([]) == "1"


@pytest.mark.parametrize("label", ["", "   ", "a\x00b", "a\nb", "\x1b[31mred", "x" * 256])
def test_a_label_that_cannot_be_shown_or_sent_is_refused(label: str) -> None:
    """Empty, too long, or with control characters."""
    with pytest.raises(Invalid, match="label"):
        names.check_label(label)


def test_labels_alike_are_grouped() -> None:
    """Case, Unicode form and outer blanks make no other label."""
    assert names.alike(["Cat", "cat", "dog", "Caf\u00e9", "Cafe\u0301", "cat "]) == [
        ("Cafe\u0301", "Caf\u00e9"),
        ("Cat", "cat", "cat "),
    ]


@pytest.mark.parametrize("uri", ["", "s3://", "s3://bucket", "s3://bucket/", "http://bucket/key", "s3://a/key", "key"])
def test_an_address_without_bucket_or_key_is_refused(uri: str) -> None:
    """Only s3://bucket/key is an address, and a bucket has at least three characters."""
    with pytest.raises(Invalid, match="s3://bucket/key"):
        names.parse_s3(uri)


@given(st.from_regex(r"[0-9A-Za-z.\-_]{3,20}", fullmatch=True), st.text(min_size=1, max_size=50))
def test_an_address_reads_back_as_written(bucket: str, key: str) -> None:
    """Parsing undoes formatting, whatever the key holds."""
    address = names.S3Uri(bucket, key)

    assert names.parse_s3(str(address)) == address


def test_artefacts_have_the_names_of_real_trainings() -> None:
    """EvaluationResultSummary, not EvaluationSummary, and labels of AWS's form throughout."""
    artefacts = names.artefact_names("rooms", "rooms_19.2021-07-13T10.36.30")

    assert artefacts.summary == "EvaluationResultSummary-rooms-rooms_19.2021-07-13T10.36.30.json"
    assert artefacts.testing_snapshot == "TestingGroundTruth-rooms-rooms_19.2021-07-13T10.36.30.json"


def test_numbers_in_names_sort_as_numbers() -> None:
    """Two comes before ten."""
    assert sorted(["10", "9", "2", "img10", "img2"], key=names.natural_key) == ["2", "9", "10", "img2", "img10"]
