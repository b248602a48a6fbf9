"""The trial: holdout, folds, out-of-fold probabilities, the same bytes every time."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import worlds
from deconfuse.errors import Invalid
from deconfuse.learn import trial
from deconfuse.learn.trial import Trial, best_temperature, folds, holdout, run_trial


def sha(remainder: int, number: int = 0, *, fold: int = 0) -> str:
    """A hash whose first 8 bytes leave `remainder` modulo 100 and whose next 8 leave `fold` modulo 5."""
    return f"{remainder + 100 * number:016x}{fold:016x}" + "0" * 32


def world(
    counts: dict[str, int], *, dimensions: int = 24, spread: float = 1.0
) -> tuple[np.ndarray, np.ndarray, list[str], tuple[str, ...]]:
    """Embeddings, truth, hashes and labels of clouds."""
    vectors, labels, hashes = worlds.clusters(counts, dimensions=dimensions, spread=spread)
    names = tuple(counts)
    return vectors, np.array([[label == name for name in names] for label in labels]), hashes, names


def tried(counts: dict[str, int], **options: float) -> Trial:
    """A single-label trial on clouds."""
    vectors, truth, hashes, names = world(counts, **options)
    return run_trial(vectors, truth, hashes, labels=names, multi_label=False)


def check(probabilities: np.ndarray) -> None:
    """Finite, and every row sums to 1."""
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


# holdout and folds


def test_remainders_below_20_are_test_images() -> None:
    """19 tests, 20 trains; the label has no part in it."""
    samples = [(sha(0), ["a"]), (sha(19), ["a"]), (sha(20), ["a"]), (sha(99), ["a"])]

    assert holdout(samples) == ["test", "test", "train", "train"]


def test_the_first_8_bytes_are_read_big_endian() -> None:
    """The byte that counts least is the eighth, and the ninth is not looked at."""
    samples = [("00" * 7 + "63" + "ff" * 24, ["a"]), ("00" * 7 + "64" + "ff" * 24, ["a"])]

    assert holdout(samples) == ["train", "test"]


def test_a_label_without_test_images_lends_its_smallest_hash() -> None:
    """Of 30, 50 and 70 the image with 30 becomes the test image."""
    assert holdout([(sha(50), ["a"]), (sha(30), ["a"]), (sha(70), ["a"])]) == ["train", "test", "train"]


def test_a_label_without_training_images_lends_its_largest_hash() -> None:
    """Of 1, 9 and 5 the image with 9 trains."""
    assert holdout([(sha(1), ["a"]), (sha(9), ["a"]), (sha(5), ["a"])]) == ["test", "train", "test"]


@pytest.mark.parametrize("remainder", [5, 50])
def test_the_only_image_of_a_label_trains(remainder: int) -> None:
    """Whatever its hash; two files of the same bytes are one image."""
    assert holdout([(sha(remainder), ["a"]), (sha(remainder), ["a"])]) == ["train", "train"]


def test_an_image_under_two_labels_is_on_one_side() -> None:
    """The only image of a trains, so b, which has two, lends the other one though its hash is larger."""
    samples = [(sha(30), ["a"]), (sha(30), ["b"]), (sha(40), ["b"])]

    assert holdout(samples) == ["train", "train", "test"]


def test_no_label_loses_its_last_training_image_to_another() -> None:
    """Where both images of b are the only ones of other labels, both train, and b has no test image."""
    samples = [(sha(30), ["a", "b"]), (sha(40), ["b", "c"])]

    assert holdout(samples) == ["train", "train"]


def test_no_samples_have_no_sides() -> None:
    """Nothing in, nothing out."""
    assert holdout([]) == []
    assert folds([]).shape == (0,)


@pytest.mark.parametrize("bad", ["", "ab", "g" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n", "٣" * 64])
def test_a_hash_that_is_none_is_refused(bad: str) -> None:
    """By both, and the message shows it."""
    with pytest.raises(Invalid, match="64 hexadecimal digits"):
        holdout([(bad, ["a"])])
    with pytest.raises(Invalid, match="64 hexadecimal digits"):
        folds([bad])


def test_folds_are_bytes_8_to_15_modulo_5() -> None:
    """Capital digits are the same number."""
    hashes = [sha(3, fold=7), sha(3, fold=15), ("0" * 31 + "a" + "0" * 32).upper()]

    assert folds(hashes).tolist() == [2, 0, 0]
    assert folds(hashes).dtype == np.int8


# run_trial


def test_a_trial_judges_every_row() -> None:
    """Clear clouds are judged right by heads that never saw the row, and all is there in the order given."""
    vectors, truth, hashes, names = world({"leaf": 60, "sea": 50, "sun": 30})
    result = run_trial(vectors, truth, hashes, labels=names, multi_label=False)

    check(result.probabilities)
    assert (result.probabilities.argmax(axis=1) == truth.argmax(axis=1)).mean() > 0.9
    assert (result.fold == folds(hashes)).all()
    assert result.head.labels == names
    assert result.penalty in dict(result.tried)
    assert result.notes == ()


def test_out_of_fold_really_is_out_of_fold() -> None:
    """Relabelling one image does not change that image's own out-of-fold scores order, as no head judging it saw it."""
    vectors, truth, hashes, names = world({"leaf": 40, "sea": 40}, spread=0.3)
    wrong = truth.copy()
    wrong[0] = ~wrong[0]
    result = run_trial(vectors, wrong, hashes, labels=names, multi_label=False)

    assert result.probabilities[0].argmax() == truth[0].argmax()
    assert result.probabilities[0, wrong[0]] < 0.2


def test_random_labels_cannot_be_learned() -> None:
    """With noise for embeddings the probabilities stay near the shares of the labels: nothing leaks."""
    rng = np.random.default_rng(1)
    vectors, hashes = rng.standard_normal((300, 200), dtype=np.float32), [rng.bytes(32).hex() for _ in range(300)]
    truth = np.eye(2, dtype=bool)[rng.integers(0, 2, 300)]
    result = run_trial(vectors, truth, hashes, labels=("a", "b"), multi_label=False)

    assert abs((result.probabilities.argmax(axis=1) == truth.argmax(axis=1)).mean() - 0.5) < 0.12
    assert abs(result.probabilities - 0.5).mean() < 0.1


@pytest.mark.parametrize("multi_label", [False, True])
def test_neither_threads_nor_order_change_a_byte(multi_label: bool) -> None:
    """One, two or five threads, any order of rows, any setting of the linear algebra library: the same bytes."""
    vectors, truth, hashes, names = world({"leaf": 400, "sea": 300, "sun": 37}, dimensions=70)
    hashes[7], vectors[7] = hashes[500], vectors[500]
    first = run_trial(vectors, truth, hashes, labels=names, multi_label=multi_label)
    for threads in (1, 2, 5):
        order = np.random.default_rng(threads).permutation(len(vectors))
        shuffled = [hashes[row] for row in order]
        with threadpool_limits(threads, "blas"):
            again = run_trial(
                vectors[order], truth[order], shuffled, labels=names, multi_label=multi_label, threads=threads
            )

        assert again.head.weights.tobytes() == first.head.weights.tobytes()
        assert again.head.bias.tobytes() == first.head.bias.tobytes()
        assert again.head.temperature == first.head.temperature
        assert again.probabilities.tobytes() == first.probabilities[order].tobytes()
        assert again.tried == first.tried


@pytest.mark.parametrize(
    "counts",
    [
        {"a": 1, "b": 1},
        {"a": 2, "b": 2},
        {"a": 1, "b": 300},
        {"a": 3, "b": 1000, "c": 2, "d": 1},
        {f"label {j}": 2 for j in range(250)},
    ],
)
def test_few_images_give_finite_probabilities(counts: dict[str, int]) -> None:
    """Two images in all, labels with one image, one label a thousand times another, 250 labels."""
    result = tried(counts, dimensions=64, spread=0.3)

    check(result.probabilities)
    assert np.isfinite(result.head.weights).all()
    assert trial.TEMPERATURES[0] <= result.head.temperature <= trial.TEMPERATURES[1]


def test_a_label_in_one_fold_only_is_noted() -> None:
    """The head that judged its images had seen none of them, and the reader is told."""
    result = tried({"leaf": 50, "sea": 50, "sun": 1})

    assert len(result.notes) == 1
    assert "sun" in result.notes[0]


def test_a_single_fold_leaves_nothing_to_train_on() -> None:
    """If all images share one fold, out-of-fold probabilities say nothing: every label the same."""
    vectors, truth, _, names = world({"leaf": 3, "sea": 3})
    hashes = [sha(50, number, fold=1) for number in range(6)]
    result = run_trial(vectors, truth, hashes, labels=names, multi_label=False)

    np.testing.assert_allclose(result.probabilities, 0.5, atol=1e-6)
    assert result.head.temperature == 1


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_constant_embeddings_give_about_the_shares_of_the_labels(value: float) -> None:
    """All images look the same: nothing but how frequent a label is can be said, and nothing breaks."""
    truth = np.repeat(np.eye(2, dtype=bool), [30, 90], axis=0)
    hashes = [np.random.default_rng(row).bytes(32).hex() for row in range(120)]
    result = run_trial(np.full((120, 8), value, np.float32), truth, hashes, labels=("a", "b"), multi_label=False)

    check(result.probabilities)
    np.testing.assert_allclose(result.probabilities.mean(axis=0), [0.25, 0.75], atol=0.05)


def test_the_same_image_under_two_labels_is_no_trouble() -> None:
    """Every image is there twice, once under each label: each gets about a half."""
    vectors, _, hashes, _ = world({"a": 60})
    truth = np.repeat(np.eye(2, dtype=bool), 60, axis=0)
    result = run_trial(np.tile(vectors, (2, 1)), truth, hashes * 2, labels=("a", "b"), multi_label=False)

    check(result.probabilities)
    np.testing.assert_allclose(result.probabilities, 0.5, atol=0.05)


def test_a_multi_label_trial_gives_independent_probabilities() -> None:
    """Images with several labels, one and none: each label is learned on its own."""
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((400, 6), dtype=np.float32)
    hashes = [rng.bytes(32).hex() for _ in range(400)]
    result = run_trial(vectors, vectors[:, :3] > 0.3, hashes, labels=("a", "b", "c"), multi_label=True)

    assert ((result.probabilities > 0.5) == (vectors[:, :3] > 0.3)).mean() > 0.95
    assert result.head.multi_label


def test_embeddings_far_from_zero_and_hardly_different_are_learned() -> None:
    """A backbone whose values all are near 1000 is as good as one around 0."""
    vectors, truth, hashes, names = world({"leaf": 60, "sea": 60}, spread=0.5)
    result = run_trial(vectors + 1000, truth, hashes, labels=names, multi_label=False)

    assert (result.probabilities.argmax(axis=1) == truth.argmax(axis=1)).mean() > 0.95


def test_the_penalty_is_chosen_on_a_part_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit a stratified part chooses; every row is judged all the same."""
    monkeypatch.setattr(trial, "MAX_CHOOSING_ROWS", 100)
    result = tried({"leaf": 300, "sea": 200, "sun": 6})

    check(result.probabilities)
    assert len(result.probabilities) == 506


@pytest.mark.parametrize("limit", [1, 2 * 90 * 2, 4 * 90 * 2])
def test_fits_in_groups_are_the_fits_together(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory is bounded by fitting one, two or four at a time, probabilities are the same within rounding."""
    together = tried({"leaf": 50, "sea": 40})
    monkeypatch.setattr(trial, "MAX_SCORES", limit)
    grouped = tried({"leaf": 50, "sea": 40})

    np.testing.assert_allclose(grouped.probabilities, together.probabilities, atol=1e-4)
    np.testing.assert_allclose(grouped.head.weights, together.head.weights, atol=1e-4)


def test_a_part_holds_every_label_and_the_limit() -> None:
    """Shares are kept, the rarest label is in, and the limit is met exactly."""
    targets = np.repeat(np.eye(3, dtype=np.float32), [1000, 3000, 2], axis=0).T
    part = trial._stratified(targets, 400)

    assert len(part) == 400
    assert targets[:, part].sum(axis=1).tolist() == [100, 299, 1]
    assert (np.diff(part) > 0).all()


def test_progress_only_grows_and_ends_at_its_total() -> None:
    """A bar can be drawn from it."""
    vectors, truth, hashes, names = world({"leaf": 30, "sea": 30})
    seen: list[tuple[int, int]] = []
    run_trial(
        vectors, truth, hashes, labels=names, multi_label=False, progress=lambda done, total: seen.append((done, total))
    )

    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {total for _, total in seen} == {seen[-1][0]}


def test_an_exception_in_progress_ends_the_trial() -> None:
    """As Ctrl-C does; the linear algebra library has its threads back afterwards."""

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    vectors, truth, hashes, names = world({"leaf": 30, "sea": 30})
    with pytest.raises(KeyboardInterrupt):
        run_trial(vectors, truth, hashes, labels=names, multi_label=False, progress=stop)


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_are_refused(threads: int) -> None:
    """At least one has to work."""
    vectors, truth, hashes, names = world({"leaf": 3, "sea": 3})
    with pytest.raises(Invalid, match="threads"):
        run_trial(vectors, truth, hashes, labels=names, multi_label=False, threads=threads)


def test_every_row_needs_a_hash() -> None:
    """The message counts both."""
    vectors, truth, hashes, names = world({"leaf": 3, "sea": 3})
    with pytest.raises(Invalid, match="5 hashes were given for 6 embeddings"):
        run_trial(vectors, truth, hashes[1:], labels=names, multi_label=False)


# temperature


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    """Labels drawn from softmax(scores / T) give T back."""
    rng = np.random.default_rng(3)
    scores = rng.normal(0, 2, (5, 20_000)).astype(np.float32)
    powers = np.exp(scores / temperature)
    drawn = (powers.cumsum(axis=0) / powers.sum(axis=0) < rng.random(20_000)).sum(axis=0)
    actual = best_temperature(scores, np.eye(5, dtype=np.float32)[drawn].T, multi_label=False)

    assert actual == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize(("multi_label", "gap"), [(False, 2), (True, 1)])
def test_scores_always_right_are_not_sharpened_for_ever(multi_label: bool, gap: int) -> None:
    """9 images all judged right are believed to 1 - 1/(9 + 1)/2, and no more."""
    targets = np.tile(np.eye(2, dtype=np.float32), 5)[:, :9]
    temperature = best_temperature(2 * targets - 1, targets, multi_label=multi_label)

    assert 1 / (1 + np.exp(-gap / temperature)) == pytest.approx(0.95, abs=1e-4)


@pytest.mark.parametrize("multi_label", [False, True])
def test_scores_always_wrong_end_at_the_bound(multi_label: bool) -> None:
    """Scores that are never right would be flattened for ever."""
    targets = np.eye(2, dtype=np.float32)
    actual = best_temperature(1 - 2 * targets, targets, multi_label=multi_label)

    assert actual == pytest.approx(trial.TEMPERATURES[1], rel=1e-3)


def test_scores_that_say_nothing_leave_the_temperature_at_1() -> None:
    """All scores equal: every temperature is as good."""
    assert best_temperature(np.zeros((3, 4), np.float32), np.eye(3, 4, dtype=np.float32), multi_label=False) == 1
