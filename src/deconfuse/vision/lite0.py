"""EfficientNet-Lite0 as an ONNX graph, made from the published PyTorch checkpoint without PyTorch.

Two steps, both pure: `read_checkpoint` takes the tensors out of the file, `graph` lays them out as ONNX with batch
normalisation folded into the convolutions.

A PyTorch checkpoint of the older form is five pickles (a magic number, a version, facts about the machine, the
tensors' names and shapes, a list of storages) followed by the storages' numbers. Unpickling runs whatever the file
asks for, so nothing here unpickles: a small stack machine understands the few opcodes that dictionaries of tensors
need, builds nothing but dictionaries, tuples and descriptions of tensors, and calls nothing. Anything else in the
file, and every size that does not add up, is `Damaged`.

The network, with its input side S (a multiple of 32) halved five times:

    stage   block                     filters  repeats  stride  kernel
    stem    convolution, ReLU6             32        1       2       3
    1       depthwise, project             16        1       1       3
    2       expand, depthwise, project     24        2       2       3
    3       "                              40        2       2       5
    4       "                              80        3       2       3
    5       "                             112        3       1       5
    6       "                             192        4       2       5
    7       "                             320        1       1       3
    head    convolution, ReLU6           1280        1       1       1
    pool    mean and/or maximum over the S/32 × S/32 places

Lite0 has no squeeze-and-excitation and no swish. Padding is TensorFlow's SAME: where it cannot be equal on both
sides, the extra row and column of zeros come last. Pixels are normalised to (x - 127) / 128.

The square root before a linear model is the power normalisation of image retrieval and Fisher vectors.

Sources: M. Tan, Q. Le, EfficientNet, ICML 2019 (arXiv 1905.11946), table 1; efficientnet_lite_builder.py in
github.com/tensorflow/tpu (block arguments, MEAN_RGB 127.0, STDDEV_RGB 128.0);
F. Perronnin, J. Sánchez, T. Mensink, ECCV 2010, section 3.2 (power normalisation); the layout of the file is that of
torch.serialization's legacy format, protocol version 1001.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from deconfuse.errors import Damaged, Invalid

Pooling = Literal["mean", "max", "mean+max", "sqrt-mean", "sqrt-mean+stage6"]

SOFTENING = 0.01
"""Added under the square root of "sqrt-mean", so that its slope never exceeds 5 and rounding stays rounding."""

STAGE6_SCALE = 0.125
"""Factor of the features of stage 6 beside "sqrt-mean": their spread is then about half of that of the others, so a
penalised linear model listens to both."""

WHAT = "the EfficientNet-Lite0 checkpoint"
"""How messages name the file."""

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_EPSILON = 1e-3
_MEAN, _SCALE = 127.0, 128.0
_OPSET, _IR_VERSION = 17, 8

_STAGES = (
    # expansion, kernel, stride, filters in, filters out, repeats
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)


_LAST_OF_STAGE6 = sum(stage[-1] for stage in _STAGES[:6]) - 1


def dimensions(pooling: Pooling) -> int:
    """How many numbers an embedding has under `pooling`: 1280 a part, 192 for stage 6."""
    return sum(192 if part == "stage6" else 1280 for part in pooling.split("+"))


def read_checkpoint(checkpoint: bytes) -> dict[str, NDArray[np.float32]]:
    """The tensors of floating-point numbers in a PyTorch checkpoint of the older form, by name.

    Args:
        checkpoint: the file's bytes.

    Returns:
        Read-only arrays over `checkpoint` itself, in the order of the file.

    Raises:
        Damaged: the bytes are not such a checkpoint, hold anything besides tensors, or a size does not add up.
    """
    file = io.BytesIO(checkpoint)
    magic, protocol, system = _unpickle(file), _unpickle(file), _unpickle(file)
    if type(magic) is not int or magic != _MAGIC or type(protocol) is not int or protocol != _PROTOCOL:
        raise Damaged(WHAT, "it does not begin like a PyTorch file of the older form")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Damaged(WHAT, "its numbers are not little-endian")
    state, keys = _unpickle(file), _unpickle(file)
    if not isinstance(state, dict) or not all(isinstance(tensor, _Tensor) for tensor in state.values()):
        raise Damaged(WHAT, "it holds something besides tensors")
    storages = _read_storages(checkpoint, file.tell(), {tensor.storage for tensor in state.values()}, keys)
    return {
        name: as_strided(
            storages[tensor.storage.key][tensor.offset :],
            shape=tensor.shape,
            strides=tuple(4 * stride for stride in tensor.strides),
            writeable=False,
        )
        for name, tensor in state.items()
        if tensor.storage.kind == "FloatStorage"
    }


def graph(checkpoint: bytes, *, side: int, pooling: Pooling) -> bytes:
    """The network as the bytes of an ONNX model; the same arguments give the same bytes.

    Input "pixels": uint8[n, side, side, 3], RGB. Output "embeddings": float32[n, dimensions(pooling)]; features of
    the last map are at least 0 and at most 6, those of stage 6 have no sign. Normalisation and pooling are inside.

    Args:
        checkpoint: the bytes of `efficientnet-lite0-57934424.pth`.
        side: pixels, a multiple of 32 from 32 to 1024.
        pooling: how the places of the last feature map become one vector; "mean+max" is means, then maxima;
            "sqrt-mean" is sqrt(mean + 0.01) - 0.1, which keeps 0 at 0 and brings strong and weak features together;
            "sqrt-mean+stage6" is that, then the means of the map after stage 6, times 0.125.

    Raises:
        Damaged: the checkpoint cannot be read, or lacks a tensor, or one has another shape or is not finite.
        Invalid: a side or pooling that is not possible.
    """
    if side % 32 or not 32 <= side <= 1024:
        raise Invalid("side", f"{side} is not a multiple of 32 from 32 to 1024")
    if pooling not in get_args(Pooling):
        raise Invalid("pooling", f"{pooling!r} is none of {', '.join(get_args(Pooling))}")
    layers = _Layers(read_checkpoint(checkpoint))
    return layers.assemble(layers.pool(layers.network(side), pooling), side, dimensions(pooling))


@dataclass(frozen=True, slots=True)
class _Storage:
    kind: str
    key: str
    n_numbers: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Named:
    """A name that the file refers to; it stands for itself and does nothing."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


_ORDERED_DICT = _Named("collections OrderedDict")
_REBUILD = _Named("torch._utils _rebuild_tensor_v2")
_FLOATS, _LONGS = _Named("torch FloatStorage"), _Named("torch LongStorage")
_NAMES = {named.name: named for named in (_ORDERED_DICT, _REBUILD, _FLOATS, _LONGS)}
_OPCODES: dict[bytes, tuple[str, int | str]] = {
    # byte: (name, bytes of its argument, or how the argument is found)
    b"\x80": ("PROTO", 1),
    b".": ("STOP", 0),
    b"(": ("MARK", 0),
    b"J": ("BININT", 4),
    b"K": ("BININT1", 1),
    b"M": ("BININT2", 2),
    b"\x8a": ("LONG1", "counted by a byte"),
    b"X": ("BINUNICODE", "counted by four bytes"),
    b"N": ("NONE", 0),
    b"\x88": ("NEWTRUE", 0),
    b"\x89": ("NEWFALSE", 0),
    b"}": ("EMPTY_DICT", 0),
    b"]": ("EMPTY_LIST", 0),
    b")": ("EMPTY_TUPLE", 0),
    b"t": ("TUPLE", 0),
    b"\x85": ("TUPLE1", 0),
    b"\x86": ("TUPLE2", 0),
    b"\x87": ("TUPLE3", 0),
    b"q": ("BINPUT", 1),
    b"r": ("LONG_BINPUT", 4),
    b"h": ("BINGET", 1),
    b"j": ("LONG_BINGET", 4),
    b"c": ("GLOBAL", "two lines"),
    b"Q": ("BINPERSID", 0),
    b"R": ("REDUCE", 0),
    b"b": ("BUILD", 0),
    b"s": ("SETITEM", 0),
    b"u": ("SETITEMS", 0),
    b"e": ("APPENDS", 0),
}
_ITEM_BYTES = {"FloatStorage": 4, "LongStorage": 8}


def _unpickle(file: io.BytesIO) -> object:
    """What the pickle at the file's position describes; the position moves behind it."""
    machine, name = _Machine(), ""
    try:
        while name != "STOP":
            name, form = _OPCODES[_take(file, 1)]
            machine.step(name, _argument(file, name, form))
        (value,) = machine.stack
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise Damaged(WHAT, f"it cannot be read as a dictionary of tensors ({error})") from error
    return value


def _take(file: io.BytesIO, size: int) -> bytes:
    taken = file.read(size)
    if len(taken) < size:
        raise ValueError("it is cut off")
    return taken


def _argument(file: io.BytesIO, name: str, form: int | str) -> int | str:
    """What follows the opcode `name`: a number, text, or a dotted name as "module name"."""
    match form:
        case int():
            return int.from_bytes(_take(file, form), "little", signed=name == "BININT")
        case "counted by a byte":
            return int.from_bytes(_take(file, _take(file, 1)[0]), "little", signed=True)
        case "counted by four bytes":
            return _take(file, int.from_bytes(_take(file, 4), "little")).decode()
        case _:
            return " ".join(file.readline().decode().removesuffix("\n") for _ in range(2))


class _Machine:
    """The stack machine of pickle, reduced to values that cannot act."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Obeys one of `_OPCODES`."""
        stack = self.stack
        match name:
            case "PROTO" | "STOP":
                pass
            case "MARK":
                self._below.append(stack)
                self.stack = []
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINUNICODE":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(reversed([stack.pop() for _ in range(int(name[-1]))])))
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                stack.append(_NAMES[argument])
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_reduce(stack.pop(), arguments))
            case "BUILD":
                # PyTorch hangs a table of versions on the dictionary; nothing here needs it.
                stack.pop()
            case _:
                self._collect(name)

    def _collect(self, name: str) -> None:
        """The opcodes that take everything since the last mark, or one pair, into a container."""
        if name == "SETITEM":
            value, key = self.stack.pop(), self.stack.pop()
            items = [key, value]
        else:
            items, self.stack = self.stack, self._below.pop()
        match name:
            case "TUPLE":
                self.stack.append(tuple(items))
            case "SETITEM" | "SETITEMS":
                target = self.stack[-1]
                if type(target) is not dict or len(items) % 2 or not all(type(key) is str for key in items[::2]):
                    raise ValueError("something that is no dictionary of names")
                target.update(zip(items[::2], items[1::2], strict=True))
            case _:  # APPENDS
                target = self.stack[-1]
                if type(target) is not list:
                    raise ValueError("items for something that is no list")
                target.extend(items)


def _storage(identity: object) -> _Storage:
    match identity:
        case ("storage", _Named() as kind, str() as key, "cpu", int() as n_numbers, None) if kind in (_FLOATS, _LONGS):
            return _Storage(kind.name.removeprefix("torch "), key, _count(n_numbers))
    raise ValueError("a reference to something that is no storage")


def _reduce(function: object, arguments: object) -> object:
    if function is _ORDERED_DICT and arguments == ():
        return {}
    match arguments:
        case (_Storage() as storage, int() as offset, tuple() as shape, tuple() as strides, bool(), {}) if (
            function is _REBUILD
        ):
            return _tensor(storage, _count(offset), shape, strides)
    raise ValueError("a call of something that makes no tensor")


def _tensor(storage: _Storage, offset: int, shape: tuple[object, ...], strides: tuple[object, ...]) -> _Tensor:
    if len(shape) > 4:
        raise ValueError("a tensor of more than four axes")
    sizes, steps = tuple(_count(size) for size in shape), tuple(_count(stride) for stride in strides)
    last = offset + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    # The second condition keeps a stride of 0 from making a huge array out of one number.
    if 0 in sizes or last >= storage.n_numbers or math.prod(sizes) > storage.n_numbers:
        raise ValueError("a tensor that is empty or reaches beyond its storage")
    return _Tensor(storage, offset, sizes, steps)


def _count(number: object) -> int:
    if type(number) is not int or not 0 <= number < 1 << 40:
        raise ValueError("a size or an offset that cannot be")
    return number


def _read_storages(
    checkpoint: bytes, position: int, wanted: set[_Storage], keys: object
) -> dict[str, NDArray[np.float32]]:
    """The numbers of each storage of floats, which follow the pickles in the order of `keys`."""
    by_key = {storage.key: storage for storage in wanted}
    if len(by_key) != len(wanted):
        raise Damaged(WHAT, "two storages share a key")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(by_key):
        raise Damaged(WHAT, "its list of storages does not fit its tensors")
    found = {}
    for key in keys:
        storage = by_key[key]
        size = storage.n_numbers * _ITEM_BYTES[storage.kind]
        declared = int.from_bytes(checkpoint[position : position + 8], "little")
        position += 8
        if declared != storage.n_numbers or position + size > len(checkpoint):
            raise Damaged(WHAT, f"storage {key} is cut off or has another size than its tensor")
        if storage.kind == "FloatStorage":
            found[key] = np.frombuffer(checkpoint, dtype="<f4", count=storage.n_numbers, offset=position)
        position += size
    if position != len(checkpoint):
        raise Damaged(WHAT, f"{len(checkpoint) - position} bytes follow its last storage")
    return found


class _Layers:
    """Nodes and weights of a graph that grows from its input to its output."""

    def __init__(self, tensors: dict[str, NDArray[np.float32]]) -> None:
        self._tensors = tensors
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._stage6 = ""

    def network(self, side: int) -> str:
        """Adds everything up to the last feature map; its name."""
        at, side = self._convolution("_conv_stem", "_bn0", self._normalised(), (32, 3, 3, 3), side=side, stride=2)
        at = self._relu6(at)
        for number, (expansion, kernel, stride, before, after) in enumerate(_blocks()):
            at, side = self._block(f"_blocks.{number}", at, side, (expansion, kernel, stride, before, after))
            if number == _LAST_OF_STAGE6:
                self._stage6 = at
        at, side = self._convolution("_conv_head", "_bn1", at, (1280, 320, 1, 1), side=side)
        return self._relu6(at)

    def _normalised(self) -> str:
        from onnx import TensorProto

        at = self._node("Cast", "pixels", to=TensorProto.FLOAT)
        at = self._node("Sub", at, self._number("mean", _MEAN))
        at = self._node("Mul", at, self._number("scale", 1 / _SCALE))
        return self._node("Transpose", at, perm=[0, 3, 1, 2])

    def _block(self, name: str, at: str, side: int, form: tuple[int, int, int, int, int]) -> tuple[str, int]:
        """Adds one inverted bottleneck: expand, depthwise, project, and the short cut where shapes allow."""
        expansion, kernel, stride, before, after = form
        start, wide = at, before * expansion
        if expansion != 1:
            at, _ = self._convolution(f"{name}._expand_conv", f"{name}._bn0", at, (wide, before, 1, 1), side=side)
            at = self._relu6(at)
        at, side = self._convolution(
            f"{name}._depthwise_conv",
            f"{name}._bn1",
            at,
            (wide, 1, kernel, kernel),
            side=side,
            stride=stride,
            groups=wide,
        )
        at = self._relu6(at)
        at, side = self._convolution(f"{name}._project_conv", f"{name}._bn2", at, (after, wide, 1, 1), side=side)
        return (self._node("Add", at, start) if stride == 1 and before == after else at), side

    def _convolution(
        self,
        name: str,
        norm: str,
        at: str,
        shape: tuple[int, int, int, int],
        *,
        side: int,
        stride: int = 1,
        groups: int = 1,
    ) -> tuple[str, int]:
        """Adds a convolution with its batch normalisation folded in; its output and that output's side."""
        n_out, kernel = shape[0], shape[2]
        gamma, beta, mean, variance = (
            self._tensor(f"{norm}.{part}", (n_out,)).astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        if variance.min() < 0:
            raise Damaged(WHAT, f"{norm}.running_var is below 0")
        factor = gamma / np.sqrt(variance + _EPSILON)
        weight = self._tensor(f"{name}.weight", shape) * factor[:, None, None, None]
        after = -(-side // stride)
        padding = max((after - 1) * stride + kernel - side, 0)
        first, last = padding // 2, padding - padding // 2
        output = self._node(
            "Conv",
            at,
            self._weight(f"{name}.weight", weight.astype(np.float32)),
            self._weight(f"{name}.bias", (beta - mean * factor).astype(np.float32)),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[first, first, last, last],
            group=groups,
        )
        return output, after

    def _tensor(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        tensor = self._tensors.get(name)
        if tensor is None:
            raise Damaged(WHAT, f"it has no tensor {name}")
        if tensor.shape != shape:
            raise Damaged(WHAT, f"{name} has the shape {tensor.shape}, not {shape}")
        if not np.isfinite(tensor).all():
            raise Damaged(WHAT, f"{name} holds numbers that are not finite")
        return tensor

    def _relu6(self, at: str) -> str:
        return self._node("Clip", at, self._number("zero", 0), self._number("six", 6))

    def pool(self, at: str, pooling: Pooling) -> str:
        """Adds the pooling over places; the name of the vectors."""
        parts = [self._pooled(at, part) for part in pooling.split("+")]
        return parts[0] if len(parts) == 1 else self._node("Concat", *parts, axis=1)

    def _pooled(self, at: str, part: str) -> str:
        if part == "max":
            return self._node("Flatten", self._node("GlobalMaxPool", at))
        if part == "stage6":
            means = self._pooled(self._stage6, "mean")
            return self._node("Mul", means, self._number("stage6_scale", STAGE6_SCALE))
        means = self._node("Flatten", self._node("GlobalAveragePool", at))
        if part == "mean":
            return means
        softened = self._node("Sqrt", self._node("Add", means, self._number("softening", SOFTENING)))
        return self._node("Sub", softened, self._number("shift", math.sqrt(SOFTENING)))

    def _node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        output = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def _weight(self, name: str, value: NDArray[np.float32]) -> str:
        from onnx import numpy_helper

        if all(weight.name != name for weight in self._weights):
            self._weights.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        return name

    def _number(self, name: str, value: float) -> str:
        return self._weight(name, np.array(value, dtype=np.float32))

    def assemble(self, at: str, side: int, n_dimensions: int) -> bytes:
        """The bytes of the model whose output is `at`."""
        from onnx import TensorProto, helper

        self._nodes.append(helper.make_node("Identity", [at], ["embeddings"], name="embeddings"))
        pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", side, side, 3])
        embeddings = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", n_dimensions])
        body = helper.make_graph(self._nodes, "efficientnet-lite0", [pixels], [embeddings], self._weights)
        model = helper.make_model(
            body,
            ir_version=_IR_VERSION,
            producer_name="deconfuse",
            opset_imports=[helper.make_opsetid("", _OPSET)],
        )
        return bytes(model.SerializeToString(deterministic=True))


def _blocks() -> Iterator[tuple[int, int, int, int, int]]:
    """Expansion, kernel, stride, filters in and filters out of each of the 16 blocks."""
    for expansion, kernel, stride, before, after, repeats in _STAGES:
        yield expansion, kernel, stride, before, after
        for _ in range(repeats - 1):
            yield expansion, kernel, 1, after, after
