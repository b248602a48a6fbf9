"""The checkpoint reader that runs nothing, and the graph that equals the reference implementation."""

from __future__ import annotations

import hashlib
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from deconfuse.engine.backbones import read_weights
from deconfuse.errors import Damaged, Invalid
from deconfuse.vision.lite0 import dimensions, graph, read_checkpoint
from golden.embeddings.remake import SIDES, images

GOLDEN = Path(__file__).parents[1] / "golden" / "embeddings" / "lite0.npz"

# ---- a writer of small checkpoints, opcode by opcode, so that each can be made wrong in one place


def text(value: str) -> bytes:
    """A string."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    """A whole number of up to 31 bits."""
    return b"J" + struct.pack("<i", value)


def many(*items: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(items) + b"t"


ORDERED = b"ccollections\nOrderedDict\n)R"
FALSE, NONE = b"\x89", b"N"


def storage(key: str = "7", n_numbers: int = 6, *, kind: str = "FloatStorage", device: str = "cpu") -> bytes:
    """A reference to a storage."""
    return many(text("storage"), f"ctorch\n{kind}\n".encode(), text(key), text(device), number(n_numbers), NONE) + b"Q"


def tensor(
    reference: bytes = storage(), offset: int = 0, shape: tuple[int, ...] = (2, 3), strides: tuple[int, ...] = (3, 1)
) -> bytes:
    """A call that makes a tensor."""
    sizes, steps = many(*map(number, shape)), many(*map(number, strides))
    arguments = many(reference, number(offset), sizes, steps, FALSE, ORDERED)
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def checkpoint(
    state: bytes | None = None,
    *,
    magic: bytes = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19",
    protocol: int = 1001,
    little: bytes = b"\x88",
    keys: bytes = b"](" + text("7") + b"e",
    tail: bytes = struct.pack("<q6f", 6, *range(6)),
) -> bytes:
    """A checkpoint of one tensor, [[0, 1, 2], [3, 4, 5]], unless told otherwise."""
    state = ORDERED + b"(" + text("weight") + tensor() + b"u" if state is None else state
    system = b"}(" + text("little_endian") + little + b"u"
    return b"".join(b"\x80\x02" + part + b"." for part in (magic, number(protocol), system, state, keys)) + tail


def test_a_small_checkpoint_is_read() -> None:
    """The writer of these tests and the reader agree on a sound file."""
    tensors = read_checkpoint(checkpoint())

    assert list(tensors) == ["weight"]
    assert tensors["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_strides_are_obeyed() -> None:
    """A tensor that PyTorch left transposed is read transposed."""
    state = ORDERED + b"(" + text("weight") + tensor(shape=(3, 2), strides=(1, 3)) + b"u"

    assert read_checkpoint(checkpoint(state))["weight"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_arrays_cannot_be_written() -> None:
    """What is read lies over the file's bytes, so nobody may change it."""
    with pytest.raises(ValueError, match="read-only"):
        read_checkpoint(checkpoint())["weight"][0, 0] = 1


def one(value: bytes) -> bytes:
    """A dictionary that holds `value`."""
    return ORDERED + b"(" + text("weight") + value + b"u"


EVIL = {
    "another function": one(b"cos\nsystem\n" + many(text("true")) + b"R"),
    "builtins": one(b"c__builtin__\neval\n" + many(text("1")) + b"R"),
    "an instance": one(b"(" + text("true") + b"ios\nsystem\n"),
    "a class by NEWOBJ": one(b"ccollections\nOrderedDict\n)\x81"),
    "a call of a dictionary": one(ORDERED + b")R"),
    "a dictionary of arguments": one(b"ccollections\nOrderedDict\n" + many(text("x")) + b"R"),
    "an extension": one(b"\x82\x01"),
    "a name from the stack": one(text("os") + text("system") + b"\x93"),
    "a string": one(text("hello")),
    "a number": one(number(5)),
    "a bare class": one(b"ctorch\nFloatStorage\n"),
    "a storage": one(storage()),
    "no dictionary": tensor(),
    "unhashable key": ORDERED + b"(}" + tensor() + b"u",
    "a name that is no text": ORDERED + b"(" + number(1) + tensor() + b"u",
    "a name of 200,000 tuples in each other": ORDERED + b"(" + number(1) + b"\x85" * 200_000 + tensor() + b"u",
    "half a pair": ORDERED + b"(" + text("weight") + b"u",
    "two values": tensor() + tensor(),
    "an empty stack": b"0",
    "a mark too few": ORDERED + text("weight") + tensor() + b"u",
    "an unknown memo": b"h\x09",
    "pairs for a list": b"](" + text("a") + text("b") + b"u",
    "items for a dictionary": b"}(" + text("a") + b"e",
}


@pytest.mark.parametrize("state", EVIL.values(), ids=EVIL.keys())
def test_anything_but_tensors_is_refused(state: bytes) -> None:
    """Whatever else a pickle can say is refused; nothing of it is run."""
    with pytest.raises(Damaged):
        read_checkpoint(checkpoint(state))


def test_a_pickle_that_acts_does_not_act(tmp_path: Path) -> None:
    """A real malicious pickle, which makes a folder when it is loaded, makes none here."""
    target = tmp_path / "made"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(target),)

    with pytest.raises(Damaged):
        read_checkpoint(pickle.dumps(Evil(), protocol=2))

    assert not target.exists()


WRONG_TENSORS = {
    "beyond the end": tensor(offset=1),
    "beyond the end by stride": tensor(shape=(2, 2), strides=(5, 1)),
    "negative offset": tensor(offset=-1),
    "negative size": tensor(shape=(-2, 3)),
    "negative stride": tensor(shape=(2, 2), strides=(-3, 1)),
    "nothing": tensor(shape=(0, 3)),
    "one number made many": tensor(shape=(30_000, 30_000), strides=(0, 0)),
    "strides for another shape": tensor(shape=(6,), strides=(1, 1)),
    "five axes": tensor(shape=(1, 1, 1, 2, 3), strides=(6, 6, 6, 3, 1)),
    "a storage on a GPU": tensor(storage(device="cuda:0")),
    "a storage of halves": tensor(storage(kind="HalfStorage")),
    "a storage of no size": tensor(storage(n_numbers=-1)),
    "no storage": tensor(number(5)),
}


@pytest.mark.parametrize("wrong", WRONG_TENSORS.values(), ids=WRONG_TENSORS.keys())
def test_tensors_stay_inside_their_storage(wrong: bytes) -> None:
    """Offsets, sizes and strides that leave the storage, or make much out of little, are refused."""
    with pytest.raises(Damaged):
        read_checkpoint(checkpoint(one(wrong)))


@pytest.mark.parametrize(
    "wrong",
    [
        checkpoint(magic=number(5)),
        checkpoint(magic=b"\x88"),
        checkpoint(protocol=1002),
        checkpoint(little=b"\x89"),
        checkpoint(keys=b"]"),
        checkpoint(keys=b"](" + text("8") + b"e"),
        checkpoint(keys=b"](" + text("7") + text("7") + b"e"),
        checkpoint(keys=b"](]e"),
        checkpoint(tail=b""),
        checkpoint(tail=struct.pack("<q5f", 6, *range(5))),
        checkpoint(tail=struct.pack("<q6f", 5, *range(6))),
        checkpoint(tail=struct.pack("<q7f", 6, *range(7))),
        checkpoint(ORDERED + b"(" + text("a") + tensor() + text("b") + tensor(storage(n_numbers=7)) + b"u"),
        b"",
        b"PK\x03\x04" + bytes(100),
        b"hello",
    ],
)
def test_files_that_do_not_add_up_are_refused(wrong: bytes) -> None:
    """Another header, a list of storages that does not fit, numbers too few or too many: each is damage."""
    with pytest.raises(Damaged):
        read_checkpoint(wrong)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=3))
def test_damage_is_seen_or_harmless(wounds: list[tuple[int, int]]) -> None:
    """Whatever bytes change, the answer is tensors inside the file or Damaged; no other error."""
    data = bytearray(checkpoint())
    for place, value in wounds:
        data[place % len(data)] = value

    try:
        tensors = read_checkpoint(bytes(data))
    except Damaged:
        return
    assert all(tensor.size <= 6 for tensor in tensors.values())


@given(st.binary(max_size=200))
def test_garbage_is_damage(garbage: bytes) -> None:
    """Bytes of any kind behind a sound header are refused."""
    sound = checkpoint()
    with pytest.raises(Damaged):
        read_checkpoint(sound[: sound.index(b"ccoll")] + garbage)


# ---- the graph


@pytest.fixture(scope="module")
def published() -> bytes:
    """The published checkpoint."""
    return read_weights()


def embed(model: bytes, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What ONNX Runtime makes of `pixels`, all in one batch."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["embeddings"], {"pixels": pixels})[0])


@pytest.mark.parametrize("side", SIDES)
def test_equals_the_reference_implementation(published: bytes, side: int) -> None:
    """Means and maxima are those of the PyTorch implementation within 1e-4, on features that run from 0 to 6."""
    golden = np.load(GOLDEN)

    seen = embed(graph(published, side=side, pooling="mean+max"), images(side))

    assert seen.dtype == np.float32
    assert np.allclose(seen, np.hstack([golden[f"mean_{side}"], golden[f"max_{side}"]]), rtol=1e-4, atol=1e-4)
    assert golden[f"mean_{side}"].max() > 1


def test_the_pooling_in_use_equals_the_reference_implementation(published: bytes) -> None:
    """Roots of means and the means of stage 6 are the stated formulas of the reference's, within 1e-4."""
    golden = {name: values.astype(np.float64) for name, values in np.load(GOLDEN).items()}

    seen = embed(graph(published, side=288, pooling="sqrt-mean+stage6"), images(288))

    expected = np.hstack([np.sqrt(golden["mean_288"] + 0.01) - 0.1, golden["stage6_288"] / 8])
    assert np.allclose(seen, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(seen[:, :1280][golden["mean_288"] == 0]).max() < 1e-7


def test_the_reference_would_show_a_mistake(published: bytes) -> None:
    """The golden features are far from those of images that are mirrored, or whose colours are swapped."""
    golden, model = np.load(GOLDEN)["mean_224"], graph(published, side=224, pooling="mean")
    mirrored, swapped = images(224)[:, :, ::-1], images(224)[..., ::-1]

    for wrong in (mirrored, swapped):
        assert np.abs(embed(model, wrong) - golden).max() > 0.1


def test_poolings_fit_together(published: bytes) -> None:
    """mean+max is mean, then max; each has as many numbers as `dimensions` says."""
    pixels = images(32)
    mean, peak, both = (embed(graph(published, side=32, pooling=p), pixels) for p in ("mean", "max", "mean+max"))

    assert mean.shape[1] == dimensions("mean") == dimensions("sqrt-mean") == dimensions("max")
    assert both.shape[1] == dimensions("mean+max") == 2560
    assert dimensions("sqrt-mean+stage6") == 1472
    assert np.array_equal(both, np.hstack([mean, peak]))


def test_the_same_arguments_give_the_same_bytes(published: bytes) -> None:
    """The graph's digest names caches, so the bytes hang on the arguments alone."""
    made = {hashlib.sha256(graph(published, side=64, pooling="mean")).hexdigest() for _ in range(2)}

    assert len(made) == 1


@pytest.mark.parametrize("side", [0, -32, 33, 225, 1056])
def test_sides_that_are_not_possible(published: bytes, side: int) -> None:
    """A side is a multiple of 32 from 32 to 1024."""
    with pytest.raises(Invalid, match="multiple of 32"):
        graph(published, side=side, pooling="mean")


def test_a_pooling_that_is_not_known(published: bytes) -> None:
    """Another word for the pooling is refused, with the words there are."""
    with pytest.raises(Invalid, match=r"mean\+max, sqrt-mean"):
        graph(published, side=64, pooling="median")  # type: ignore[arg-type]


def test_a_checkpoint_of_another_network() -> None:
    """A sound checkpoint without the network's tensors is refused; the first that is missing is named."""
    with pytest.raises(Damaged, match=r"no tensor _bn0\.weight"):
        graph(checkpoint(), side=64, pooling="mean")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(published: bytes, value: float) -> None:
    """A weight that is not a number is damage; the tensor is named."""
    stem = read_checkpoint(published)["_conv_stem.weight"]
    place = published.index(stem.ravel(order="K")[:8].tobytes())
    damaged = published[:place] + np.float32(value).tobytes() + published[place + 4 :]

    with pytest.raises(Damaged, match=r"_conv_stem\.weight holds numbers that are not finite"):
        graph(damaged, side=64, pooling="mean")


@pytest.mark.parametrize("share", [0.001, 0.002, 0.5, 0.999999])
def test_a_broken_download(published: bytes, share: float) -> None:
    """The checkpoint cut off anywhere is refused."""
    with pytest.raises(Damaged):
        graph(published[: int(len(published) * share)], side=64, pooling="mean")
