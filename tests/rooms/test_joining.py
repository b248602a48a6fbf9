"""A summary and the snapshot of the same training, put together without ever listing an image in a wrong cell."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.engine.evaluation import Evaluation
from deconfuse.engine.joining import Part, join, summary_alone
from deconfuse.engine.showing import cell_images, matrix_view, rule_in_words
from deconfuse.errors import BadData, Invalid
from verdicts import Judged, judged_model


def joined(model: Judged, snapshot: bytes | None = None, *, summary: bytes | None = None, **options: Any) -> Evaluation:
    """The two files of a model, the snapshot as AWS writes it."""
    part = Part("the snapshot", (snapshot if snapshot is not None else model.snapshot()).splitlines(keepends=True))
    return join(model.summary() if summary is None else summary, "the summary", part, title="rooms 1", **options)


def highest(model: Judged) -> dict[str, str]:
    """By address, the label that scored highest."""
    return {model.uri(k): model.labels[p] for k, p in enumerate(model.scores.argmax(axis=1))}


def hiding_model() -> Judged:
    """A model of which AWS's snapshot does not tell every highest score."""
    return next(model for model in map(judged_model, range(50)) if len(joined(model).predictions or ()) < 60)


def n_counted(found: Evaluation, true: str, predicted: str) -> int:
    """What a cell counts."""
    place = found.labels.index
    return int(found.matrix.counts[place(true), place(predicted)])


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(5, 80))
def test_the_matrix_is_that_of_the_highest_scores_and_no_image_is_in_a_wrong_cell(seed: int, k: int, n: int) -> None:
    """Whatever AWS's snapshot leaves out: counts are those of the model, and what is listed is listed where it is."""
    model = judged_model(seed, n=n, k=k)
    found = joined(model)

    assert found.rule == "highest"
    assert found.matrix.counts[:-1, :-1].tolist() == model.counts().tolist()
    if found.predictions is not None:
        said = highest(model)
        assert all(row["predicted"] == said[row["uri"]] for row in found.predictions.to_pylist())


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_our_own_snapshot_lists_every_image(seed: int, k: int) -> None:
    """It has the highest score of each image, so each cell lists as many images as it counts."""
    model = judged_model(seed, k=k)
    found = joined(model, model.snapshot(style="ours"))

    for true in model.labels:
        for predicted in model.labels:
            assert cell_images(found, true=true, predicted=predicted).num_rows == n_counted(found, true, predicted)
    assert not [note for note in found.notes if "snapshot" in note]


def test_the_view_by_thresholds_comes_with_the_thresholds_of_the_summary() -> None:
    """The second rule counts the snapshot's flags, and names each label's threshold."""
    model = judged_model(3)
    found = joined(model)
    best = np.where(model.scores >= model.thresholds, model.scores, -1.0)
    said = np.where(best.max(axis=1) < 0, len(model.labels), best.argmax(axis=1))
    expected = np.zeros((3, 4), int)
    np.add.at(expected, (model.true, said), 1)

    assert found.other["thresholds"].counts[:3].tolist() == expected.tolist()
    assert found.thresholds == pytest.approx(tuple(model.thresholds))
    assert rule_in_words(found, "thresholds") == "assumed thresholds"


def test_what_the_snapshot_does_not_tell_is_counted_not_listed_and_said() -> None:
    """Images without a prediction above a threshold may have any highest score."""
    model = hiding_model()
    found = joined(model)
    assert found.predictions is not None
    n_hidden = 60 - found.predictions.num_rows

    assert found.n_images == 60
    assert any(f"For {n_hidden} image" in note and "not listed" in note for note in found.notes)
    assert len(matrix_view(found).images) == 60 - n_hidden


def test_it_says_what_it_is_of() -> None:
    """Title, version, date, split, and the hash of the summary."""
    model = judged_model()
    found = joined(model)

    assert (found.title, found.kind, found.split, found.model) == ("rooms 1", "summary", "test", model.arn)
    assert found.made is not None
    assert found.data_hash == summary_alone(model.summary(), "x", title="", labels=None).data_hash
    assert found.is_exact


def test_the_snapshot_gives_the_counts_that_the_summary_lacks() -> None:
    """Without numbers of test images a summary is only shares; the snapshot has the numbers."""
    model = judged_model()
    summary = model.summary(support=False)

    assert not summary_alone(summary, "x", title="", labels=None).is_exact
    assert joined(model, summary=summary).matrix.counts[:-1, :-1].tolist() == model.counts().tolist()


def test_shares_that_nobody_understands_leave_the_snapshot_to_count() -> None:
    """Counts come from the snapshot, and a note says why and how far they can be trusted."""
    model = judged_model(3)
    found = joined(model, summary=model.summary(denominator="nonsense"))

    assert found.kind == "snapshot"
    assert found.matrix.total == 60
    assert any("no counts fit" in note for note in found.notes)


def test_a_snapshot_of_other_images_is_left_out() -> None:
    """A summary of 60 images and a snapshot of 40 of them: the summary stands alone, and a note says so."""
    model = judged_model()
    found = joined(model, model.snapshot(images=range(40)))

    assert found.predictions is None
    assert found.matrix.total == 60
    assert any("other test images" in note for note in found.notes)


def test_a_snapshot_of_another_training_is_left_out() -> None:
    """The same images, other scores: what contradicts the summary is not listed."""
    model = judged_model(1)
    turned = replace(model, scores=np.roll(model.scores, 1, axis=1))
    found = joined(model, turned.snapshot())

    assert found.predictions is None
    assert found.matrix.counts[:-1, :-1].tolist() == model.counts().tolist()
    assert any("do not fit" in note for note in found.notes)


@pytest.mark.parametrize("threshold", [0.7, "assumed"])
def test_thresholds_lead_where_they_are_asked_for(threshold: Any) -> None:
    """A number, or each label's own: counted from the snapshot; by highest score only where that is known."""
    model = hiding_model()
    found = joined(model, threshold=threshold)

    assert found.rule == "thresholds"
    assert found.matrix.total == 60
    assert "highest" not in found.other
    assert "highest" in joined(model, model.snapshot(style="ours"), threshold=threshold).other


def test_labels_can_be_chosen() -> None:
    """The others are summed, in every rule."""
    model = judged_model(2)
    found = joined(model, labels=["closet"])

    assert found.labels == ("closet", "(other)")
    assert found.matrix.total == 60
    with pytest.raises(Invalid, match="cellar"):
        joined(model, labels=["cellar"])


def test_several_labels_an_image_are_counted_from_the_snapshot() -> None:
    """How AWS counts them is not known; a note says so."""
    model = judged_model(2)
    lines = [json.loads(line) for line in model.snapshot().splitlines()]
    second = "rekognition-custom-labels-training-1"
    for line in lines[:5]:
        line[second] = 1
        line[f"{second}-metadata"] = line["rekognition-custom-labels-training-0-metadata"] | {"class-name": "den"}
    found = joined(model, "\n".join(map(json.dumps, lines)).encode())

    assert found.multi_label
    assert found.labels == ("attic", "bathroom", "closet", "den")
    assert found.matrix.unit == "label decisions"
    assert any("not known" in note for note in found.notes)


def test_lines_that_cannot_be_used_become_problems() -> None:
    """One bad line of the snapshot: the truth no longer agrees, the summary stands, the line is named."""
    model = judged_model()
    found = joined(model, model.snapshot() + b"{broken\n")

    assert [problem.line for problem in found.problems] == [61]
    assert found.matrix.total == 60
    assert found.predictions is not None


@pytest.mark.parametrize("snapshot", [b"", b"\n\n", b"{}\n", b"not json\n", b'{"source-ref": "s3://b/k"}\n'])
def test_a_snapshot_without_a_usable_image_is_an_error(snapshot: bytes) -> None:
    """Whoever has both files decides what to do without it."""
    with pytest.raises(BadData):
        joined(judged_model(), snapshot)


@pytest.mark.parametrize("summary", [b"", b"[]", b"{}", b"<html>", b'{"AggregatedEvaluationResults": []}'])
def test_what_is_no_summary_is_an_error(summary: bytes) -> None:
    """The message has the name that it was given."""
    with pytest.raises(BadData, match="the summary"):
        joined(judged_model(), summary=summary)


def test_a_summary_without_matrix_is_no_classifier() -> None:
    """A model for bounding boxes has an average precision instead."""
    content = json.loads(judged_model().summary())
    del content["AggregatedEvaluationResults"]["ConfusionMatrix"]
    content["AggregatedEvaluationResults"]["AveragePrecision"] = 0.7

    with pytest.raises(BadData, match="not a classification model"):
        joined(judged_model(), summary=json.dumps(content).encode())
