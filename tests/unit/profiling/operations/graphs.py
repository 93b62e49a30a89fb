"""Graphs of a few operations, written down by hand."""

from mobile_seg.profiling.delegates.graph import Graph, Operation, Tensor


def tensor(index: int, name: str, shape: tuple[int, ...], dtype: str = "int8", *, stored: bool = False) -> Tensor:
    """A tensor; `stored` in the file if asked for, its content left out."""
    return Tensor(index, name, shape, dtype, content=memoryview(b"") if stored else None)


def chain(*kinds: str, dtype: str = "int8") -> Graph:
    """Operations in a row, each on what the one before gives, `[1, 4, 4, 8]`, in layers such as `b00_conv_2d`."""
    made = [tensor(0, "image", (1, 4, 4, 8), dtype)]
    operations = []
    for index, kind in enumerate(kinds):
        made.append(tensor(index + 1, f"net_1/b{index:02d}_{kind.lower()}_1/{kind}", (1, 4, 4, 8), dtype))
        inputs = [made[index]]
        if kind == "CONV_2D":
            inputs.append(tensor(100 + index, f"w{index}", (8, 3, 3, 8), dtype, stored=True))
        operations.append(Operation(index, kind, 1, tuple(inputs), (made[-1],)))
    return Graph("chain.tflite", 0, tuple(operations), (made[0],), (made[-1],), 1)
