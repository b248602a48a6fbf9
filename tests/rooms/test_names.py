"""Names, labels and addresses."""

from __future__ import annotations

import botocore.session
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from deconfuse import names
from deconfuse.errors import DeconfuseError, Invalid, NotFound

MODEL = botocore.session.get_session().get_service_model("rekognition")
HEAD = "arn:aws:rekognition:us-east-1:012345678901:project"

api_names = st.text(alphabet="abcXYZ019_.-", min_size=1, max_size=255)
times = st.integers(0, 10**18 - 1)
places = {"region": st.sampled_from(["us-east-1", "eu-west-2"]), "account": st.from_regex("[0-9]{12}", fullmatch=True)}
arns = st.one_of(
    st.builds(names.ProjectArn, project=api_names, created_ms=times, **places),
    st.builds(names.DatasetArn, project=api_names, kind=st.sampled_from(["train", "test"]), created_ms=times, **places),
    st.builds(names.VersionArn, project=api_names, version=api_names, created_ms=times, **places),
)


def fits(shape: str, text: str) -> bool:
    """Whether the service model takes `text` for this shape, as Java reads its pattern: the second author."""
    rules = MODEL.shape_for(shape).metadata
    flags = 0 if r"\p{" in rules["pattern"] else regex.ASCII
    is_long_enough = rules["min"] <= len(text) <= rules["max"]
    return is_long_enough and regex.fullmatch(rules["pattern"].replace("$", r"\Z"), text, flags) is not None


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
    address = names.ObjectAddress(bucket, key)

    assert names.parse_s3(str(address)) == address


def test_artefacts_have_the_names_of_real_trainings() -> None:
    """EvaluationResultSummary, not EvaluationSummary, and labels of AWS's form throughout."""
    artefacts = names.artefact_names("rooms", "rooms_19.2021-07-13T10.36.30")

    assert artefacts.summary == "EvaluationResultSummary-rooms-rooms_19.2021-07-13T10.36.30.json"
    assert artefacts.testing_snapshot == "TestingGroundTruth-rooms-rooms_19.2021-07-13T10.36.30.json"


def test_numbers_in_names_sort_as_numbers() -> None:
    """Two comes before ten."""
    assert sorted(["10", "9", "2", "img10", "img2"], key=names.natural_key) == ["2", "9", "10", "img2", "img10"]


@given(arns)
def test_an_arn_reads_back_as_written(arn: names.Arn) -> None:
    """Parsing undoes formatting, whatever project and version are called."""
    assert names.parse_arn("arn", str(arn)) == arn


@given(arns)
def test_arns_are_spelled_as_the_service_model_demands(arn: names.Arn) -> None:
    """What we write matches the pattern of its own kind, and of no other kind."""
    kinds = {"ProjectArn": names.ProjectArn, "DatasetArn": names.DatasetArn, "ProjectVersionArn": names.VersionArn}

    assert {shape: fits(shape, str(arn)) for shape in kinds} == {s: isinstance(arn, kind) for s, kind in kinds.items()}


def test_arns_of_the_guide_are_read() -> None:
    """The published examples: a dataset has its small word, a version its name, each its own number."""
    dataset = names.parse_dataset_arn("datasetArn", f"{HEAD}/my-project/dataset/test/1690476084535")
    version = names.parse_version_arn("projectVersionArn", f"{HEAD}/my-project/version/1/1690556751958")
    project = names.parse_project_arn("projectArn", f"{HEAD}/my-project/1690474772815")

    assert (dataset.project, dataset.kind, dataset.created_ms) == ("my-project", "test", 1690476084535)
    assert (version.project, version.version, version.created_ms) == ("my-project", "1", 1690556751958)
    assert (project.project, project.account, project.partition) == ("my-project", "012345678901", "aws")


BAD_ARNS = [
    "",
    "arn",
    HEAD,
    f"{HEAD}/a",
    f"{HEAD}/a/",
    f"{HEAD}/a/x1",
    f"{HEAD}/a/1\n",
    f" {HEAD}/a/1",
    f"{HEAD}/a/1/",
    f"{HEAD}//1",
    f"{HEAD}/a b/1",
    f"{HEAD}/é/1",
    f"{HEAD}/a/dataset/TRAIN/1",
    f"{HEAD}/a/dataset/all/1",
    f"{HEAD}/a/dataset/train",
    f"{HEAD}/a/model/v/1",
    f"{HEAD}/a/version/v/w/1",
    f"{HEAD}/{'a' * 256}/1",
    f"{HEAD}/a/\u0661",
    "arn:aws:rekognition:us-east-1:12345:project/a/1",
    "arn:aws:rekognition::012345678901:project/a/1",
    "arn:aws:s3:us-east-1:012345678901:project/a/1",
    "arn:AWS:rekognition:us-east-1:012345678901:project/a/1",
    f"arn:aws:rekognition:{'x' * 2048}:012345678901:project/a/1",
]


@pytest.mark.parametrize("text", BAD_ARNS)
def test_what_is_spelled_otherwise_is_no_arn(text: str) -> None:
    """The field is named, and the service model refuses the same texts."""
    with pytest.raises(Invalid, match="resourceArn"):
        names.parse_arn("resourceArn", text)

    assert not any(fits(shape, text) for shape in ("ProjectArn", "DatasetArn", "ProjectVersionArn"))


@given(st.text() | st.from_regex(r"arn:[a-z-]{0,5}:rekognition:.{0,5}:[0-9]{0,13}:project/.{0,9}/.{0,9}/[0-9]{0,20}"))
def test_any_text_is_an_arn_or_an_error_of_ours(text: str) -> None:
    """Whatever a client sends as an ARN ends in an answer, and what is taken is kept letter by letter."""
    try:
        arn = names.parse_arn("arn", text)
    except DeconfuseError:
        return

    assert str(arn) == text


@pytest.mark.parametrize("number", ["007", "9" * 19, "0" * 30, "1" * 500])
def test_a_number_that_no_creation_has_names_nothing(number: str) -> None:
    """AWS's pattern takes it, so the thing is unknown, not misspelt."""
    with pytest.raises(NotFound, match="version"):
        names.parse_arn("arn", f"{HEAD}/a/version/v/{number}")


def test_an_arn_of_another_kind_is_refused() -> None:
    """Where a project is asked for, a version does not do, and so on."""
    project, dataset, version = f"{HEAD}/a/1", f"{HEAD}/a/dataset/test/1", f"{HEAD}/a/version/v/1"

    for parse, refused in [
        (names.parse_project_arn, (dataset, version)),
        (names.parse_dataset_arn, (project, version)),
        (names.parse_version_arn, (project, dataset)),
    ]:
        for text in refused:
            with pytest.raises(Invalid, match=r"projectArn.*is not the ARN of a"):
                parse("projectArn", text)


def test_a_dataset_is_named_in_capitals() -> None:
    """TRAIN and TEST at the API, train and test in ARNs."""
    assert [names.dataset_kind("datasetType", text) for text in ("TRAIN", "TEST")] == ["train", "test"]


@pytest.mark.parametrize("text", ["", "train", "Test", "VALIDATION", "TRAIN "])
def test_no_other_word_names_a_dataset(text: str) -> None:
    """Only two datasets are possible."""
    with pytest.raises(Invalid, match="datasetType"):
        names.dataset_kind("datasetType", text)


# A character that this Python's Unicode does not know may be a letter to the regex package's.
known_characters = st.characters(exclude_categories=["Cs", "Cn"])


@given(st.text(known_characters, max_size=140) | st.text(alphabet="aws:é 1_./=+-@\u00a0\n", max_size=6))
def test_tags_are_those_of_the_service_model(text: str) -> None:
    """Key and value: we take exactly what AWS's patterns take, which the regex package reads as Java does."""
    for shape, check in (("TagKey", names.check_tag_key), ("TagValue", names.check_tag_value)):
        try:
            taken = check("tags", text) == text
        except Invalid:
            taken = False

        assert taken == fits(shape, text)


@pytest.mark.parametrize("key", ["", "aws:", "aws:created", "a,b", "a\tb", "x" * 129, "\U0001f600"])
def test_a_bad_tag_key_is_refused_by_name(key: str) -> None:
    """Empty, reserved, too long, or with a character that AWS does not take."""
    with pytest.raises(Invalid, match="tagKeys"):
        names.check_tag_key("tagKeys", key)


@pytest.mark.parametrize("value", ["x" * 257, "a,b", "a\nb", "a\x00"])
def test_a_bad_tag_value_is_refused_by_name(value: str) -> None:
    """Too long, or with a character that AWS does not take; an empty one is fine."""
    assert names.check_tag_value("tags", "") == ""
    with pytest.raises(Invalid, match="tags"):
        names.check_tag_value("tags", value)
