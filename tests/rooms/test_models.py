"""Loaded models of a server: how many are kept, how often they are loaded, how many images are in work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from deconfuse.engine.predictor import Models
from deconfuse.errors import BadData, Damaged, NotFound, TooFast
from deconfuse.learn.bundle import write_bundle
from deconfuse.learn.head import Head
from registries import at_once
from worlds import picture, tiny_backbone

Bundle = tuple[bytes, bytes]


def a_bundle(label: str = "a", *, key: str | None = None, **card: object) -> Bundle:
    """Card and head of a model of two labels, the first of which is `label`."""
    head = Head((label, "other"), np.zeros((2, 192), np.float32), np.zeros(2, np.float32), 1.0, False)
    named = {"backbone": {"key": key or tiny_backbone().card.key}, "thresholds": [0.4, 0.6]}
    files = write_bundle(head, {**named, **card})
    return files["card.json"], files["head.safetensors"]


def models(*, most_models: int = 2, most_at_once: int = 1, most_waiting: int = 0) -> Models:
    """Room for two models, and for one image."""
    return Models(tiny_backbone, most_models=most_models, most_at_once=most_at_once, most_waiting=most_waiting)


class Loading:
    """Gives a bundle, and counts how often."""

    def __init__(self, label: str = "a", *, seconds: float = 0.0) -> None:
        self.label = label
        self.seconds = seconds
        self.n = 0

    def __call__(self) -> Bundle:
        """The bundle, after a while."""
        self.n += 1
        time.sleep(self.seconds)
        return a_bundle(self.label)


def failing(error: Exception) -> Callable[[], Bundle]:
    """A loading that raises this."""

    def load() -> Bundle:
        raise error

    return load


def test_a_model_is_loaded_once() -> None:
    """Who asks again gets the same one, with the thresholds of its card."""
    kept, loading = models(), Loading()
    first = kept.get(1, loading)

    assert kept.get(1, loading) is first
    assert loading.n == 1
    assert first.thresholds == (0.4, 0.6)


def test_of_many_that_ask_at_once_one_loads() -> None:
    """The others wait for it and get the same model."""
    kept, loading = models(), Loading(seconds=0.05)
    found = at_once(8, lambda _: kept.get("v", loading))

    assert loading.n == 1
    assert {id(model) for model in found} == {id(found[0])}


def test_models_are_loaded_side_by_side() -> None:
    """Whoever asks for one does not wait for the loading of another."""
    kept = models(most_models=4)
    barrier = threading.Barrier(2, timeout=5)

    def load() -> Bundle:
        barrier.wait()  # both are here at once, or this fails
        return a_bundle()

    assert len(at_once(2, lambda number: kept.get(number, load))) == 2
    assert len(kept) == 2


def test_the_one_that_was_not_asked_for_longest_leaves_first() -> None:
    """So many are kept and no more; asking for one makes it young."""
    kept, loadings = models(most_models=2), {name: Loading(name) for name in "abc"}
    for name in "abaca":
        kept.get(name, loadings[name])

    assert len(kept) == 2
    assert {name: loading.n for name, loading in loadings.items()} == {"a": 1, "b": 1, "c": 1}
    kept.get("b", loadings["b"])
    assert loadings["b"].n == 2


def test_the_backbone_is_loaded_once_for_all() -> None:
    """It comes with the first model, and every other shares it."""
    n_loaded = []

    def load_backbone() -> object:
        n_loaded.append(1)
        time.sleep(0.02)
        return tiny_backbone()

    kept = Models(load_backbone, most_models=9, most_at_once=1, most_waiting=0)  # type: ignore[arg-type]
    assert n_loaded == []
    at_once(4, lambda number: kept.get(number, Loading()))
    assert len(n_loaded) == 1


def test_a_forgotten_model_is_loaded_again() -> None:
    """Forgetting lets go of it; one that is not kept is no error."""
    kept, loading = models(), Loading()
    kept.get(1, loading)
    kept.forget(1)
    kept.forget("never seen")

    assert len(kept) == 0
    kept.get(1, loading)
    assert loading.n == 2


def test_a_model_forgotten_while_it_is_loaded_is_not_kept() -> None:
    """Who waits for it still gets it."""
    kept = models()

    def load() -> Bundle:
        kept.forget(1)
        return a_bundle()

    assert kept.get(1, load).head.labels == ("a", "other")
    assert len(kept) == 0


@pytest.mark.parametrize("error", [NotFound("key", "card.json"), Damaged("card.json", "it is empty"), ValueError("?")])
def test_a_loading_that_fails_is_tried_again(error: Exception) -> None:
    """Everybody who waits hears why; nothing is kept, and the next one loads again."""
    kept = models()
    with pytest.raises(type(error)):
        kept.get(1, failing(error))

    assert len(kept) == 0
    assert kept.get(1, Loading()).head.labels == ("a", "other")


def test_who_waits_for_a_loading_that_fails_hears_why() -> None:
    """All of them, and nobody waits for ever."""
    kept = models()

    def load() -> Bundle:
        time.sleep(0.05)
        raise Damaged("head.safetensors", "it is cut off")

    assert {type(found) for found in at_once(4, lambda _: kept.get(1, load))} == {Damaged}


@pytest.mark.parametrize("backbone", [{"key": "another-one"}, None, "text", {}])
def test_a_model_of_another_backbone_is_refused(backbone: object) -> None:
    """Its numbers would mean nothing; the sentence names both."""
    with pytest.raises(BadData, match=tiny_backbone().card.key):
        models().get(1, lambda: a_bundle(backbone=backbone))


def test_a_label_without_threshold_is_never_predicted_by_one() -> None:
    """Whatever its probability is."""
    model = models().get(1, lambda: a_bundle(thresholds=[None, 0.5]))
    assert model.thresholds[0] > 1


def test_so_many_images_are_in_work_at_once() -> None:
    """Everybody has a turn in the end, and never more than two at a time."""
    kept = models(most_at_once=2, most_waiting=100)
    model = kept.get(1, Loading())
    lock, at_work, seen = threading.Lock(), [0], [0]

    def judge(number: int) -> None:
        with kept.turn():
            with lock:
                at_work[0] += 1
                seen[0] = max(seen[0], at_work[0])
            model.scores(picture("sun", number % 3))
            with lock:
                at_work[0] -= 1

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(judge, range(60)))
    assert seen[0] == 2


def test_who_finds_too_many_waiting_is_sent_away() -> None:
    """At once, and without losing a turn."""
    kept = models(most_at_once=1, most_waiting=0)
    with kept.turn(), pytest.raises(TooFast, match="try again"), kept.turn():
        pass
    with kept.turn():
        pass


def test_turns_go_in_the_order_of_asking() -> None:
    """Nobody who comes later overtakes."""
    kept = models(most_at_once=1, most_waiting=10)
    order: list[int] = []
    threads = []

    def ask(number: int) -> None:
        with kept.turn():
            order.append(number)

    with kept.turn():
        for number in range(6):
            threads.append(threading.Thread(target=ask, args=(number,)))
            threads[-1].start()
            while len(kept._waiting) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == list(range(6))


def test_a_turn_is_given_back_after_an_error() -> None:
    """Whatever goes wrong with an image."""
    kept = models()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), kept.turn():
            raise ZeroDivisionError
