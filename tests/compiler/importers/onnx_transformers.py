"""Vision transformers as ONNX files, written operator by operator in the ways of several exporters."""

from typing import Literal

import numpy as np
from onnx import numpy_helper

from tests.compiler.importers.onnx_models import Weights, Writer

Style = Literal["packed", "sliced", "torch", "apart"]
Gelu = Literal["operator", "erf", "halved", "turned"]
Norm = Literal["operator", "power", "product"]
Patches = Literal["convolution", "channels last", "channels first", "rows", "normalised"]


class TokenWriter(Writer):
    """A graph of a transformer of a given batch, width and number of heads."""

    def __init__(
        self, size: int, width: int, heads: int, batch: int = 7, weights: Weights = "external", norm: Norm = "operator"
    ) -> None:
        super().__init__([3, size, size], weights=weights, batch=batch)
        self.batch, self.width, self.heads, self.norm_form = batch, width, heads, norm

    def number(self, value: float) -> str:
        return self.op("Constant", value=numpy_helper.from_array(np.array(value, np.float32)))

    def reshape(self, x: str, *shape: int) -> str:
        return self.op("Reshape", x, self.integers(f"shape_{len(self.nodes)}", *shape))

    def layer_norm(self, x: str, name: str) -> str:
        parts = [self.weight(f"{name}.{part}", self.width) for part in ("weight", "bias")]
        if self.norm_form == "operator":
            return self.op("LayerNormalization", x, *parts, name=name, axis=-1, epsilon=1e-6)
        mean = self.op("ReduceMean", x, name=f"{name}/ReduceMean", axes=[-1])
        centred = self.op("Sub", x, mean, name=f"{name}/Sub")
        if self.norm_form == "power":
            squared = self.op("Pow", centred, self.number(2), name=f"{name}/Pow")
        else:
            squared = self.op("Mul", centred, self.op("Sub", x, mean))
        variance = self.op("ReduceMean", squared, name=f"{name}/ReduceMean_1", axes=[-1])
        root = self.op("Sqrt", self.op("Add", variance, self.number(1e-6), name=f"{name}/Add"))
        scaled = self.op("Mul", self.op("Div", centred, root), parts[0])
        return self.op("Add", scaled, parts[1], name=f"{name}/Add_1")

    def project(self, x: str, name: str, inputs: int, outputs: int) -> str:
        y = self.op("MatMul", x, self.weight(f"{name}.weight", inputs, outputs), name=name)
        return self.op("Add", self.weight(f"{name}.bias", outputs), y, name=f"{name}_bias")

    def gelu(self, x: str, name: str, form: Gelu) -> str:
        if form == "operator":
            return self.op("Gelu", x, name=name)
        if form == "turned":  # constants first
            grown = self.op("Add", self.number(1), self.op("Erf", self.op("Mul", self.number(0.5**0.5), x), name=name))
            return self.op("Mul", self.number(0.5), self.op("Mul", x, grown))
        grown = self.op("Erf", self.op("Div", x, self.number(2**0.5)), name=name)
        grown = self.op("Add", grown, self.number(1))
        if form == "erf":
            return self.op("Mul", self.op("Mul", x, grown), self.number(0.5))
        return self.op("Mul", self.op("Mul", self.number(0.5), x), grown)

    def attention(self, x: str, at: str, tokens: int, style: Style) -> str:
        width, heads, size = self.width, self.heads, self.width // self.heads
        shape = [self.batch, tokens, heads, size]
        if style == "apart":
            parts = []
            for part in "qkv":
                y = self.reshape(self.project(x, f"{at}.{part}", width, width), *shape)
                parts.append(self.op("Transpose", y, perm=[0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]))
            q, k, v = parts
            q = self.op("Mul", q, self.number(size**-0.5))
        elif style in ("packed", "sliced"):
            y = self.reshape(self.project(x, f"{at}.qkv", width, 3 * width), self.batch, tokens, 3, heads, size)
            y = self.op("Transpose", y, perm=[2, 0, 3, 1, 4])
            q, k, v = (self.part_of(y, part, style) for part in range(3))
            k = self.op("Transpose", k, perm=[0, 1, 3, 2])
            q, k = (self.op("Mul", part, self.root_of_scale(q)) for part in (q, k))
        else:  # tokens outermost, batch and heads as one axis, as torch.nn.MultiheadAttention has them
            y = self.project(self.op("Transpose", x, perm=[1, 0, 2]), f"{at}.qkv", width, 3 * width)
            for number, part in enumerate("qkv"):
                held = [f"{at}.{part}_part" for part in "qkv"]
                if number == 0:
                    self.split(y, held)
            q, k, v = (self.reshape(part, tokens, self.batch * heads, size) for part in held)
            q, v = (self.op("Transpose", part, perm=[1, 0, 2]) for part in (q, v))
            k = self.op("Transpose", k, perm=[1, 2, 0])
        scores = self.op("MatMul", q, k, name=f"{at}.scores")
        if style == "torch":
            scores = self.op("Div", scores, self.number(size**0.5))
        y = self.op("MatMul", self.op("Softmax", scores, axis=-1), v, name=f"{at}.attention")
        if style == "torch":
            y = self.reshape(self.op("Transpose", y, perm=[1, 0, 2]), tokens * self.batch, width)
            weights = self.weight(f"{at}.out.weight", width, width), self.weight(f"{at}.out.bias", width)
            y = self.op("Gemm", y, *weights, name=f"{at}.out", transB=1)
            return self.op("Transpose", self.reshape(y, tokens, self.batch, width), perm=[1, 0, 2])
        y = self.reshape(self.op("Transpose", y, perm=[0, 2, 1, 3]), self.batch, tokens, width)
        return self.project(y, f"{at}.out", width, width)

    def part_of(self, y: str, part: int, style: Style) -> str:
        """Part of the outermost axis, as PyTorch's tracer writes `unbind`, or its default exporter."""
        if style == "packed":
            return self.op("Gather", y, self.scalar(part), axis=0)
        places = [
            self.integers(f"place_{len(self.nodes)}_{n}", value) for n, value in enumerate((part, part + 1, 0, 1))
        ]
        return self.op("Squeeze", self.op("Slice", y, *places), places[2])

    def root_of_scale(self, queries: str) -> str:
        """The fourth root of 1 / d, computed from the queries' shape as PyTorch's tracer writes it."""
        ends = [self.integers(f"{end}_{len(self.nodes)}", value) for end, value in (("from", -1), ("to", 2**63 - 1))]
        size = self.op("Cast", self.op("Slice", self.op("Shape", queries), *ends), to=1)
        return self.op("Sqrt", self.op("Div", self.number(1), self.op("Sqrt", size)))

    def cut_patches(self, size: int, patch: int, form: Patches) -> str:
        """Tokens of patches cut as `einops.rearrange` cuts them, and their product; "rows" of all samples at once."""
        side, inside = size // patch, 3 * patch * patch
        apart = self.reshape("x", self.batch, 3, side, patch, side, patch)
        order = [0, 2, 4, 1, 3, 5] if form == "channels first" else [0, 2, 4, 3, 5, 1]
        x = self.op("Transpose", apart, perm=order, name="cut")
        if form == "rows":
            weights = self.weight("patch.weight", self.width, inside), self.weight("patch.bias", self.width)
            x = self.op("Gemm", self.reshape(x, -1, inside), *weights, name="patches", transB=1)
            return self.reshape(x, self.batch, side * side, self.width)
        x = self.reshape(x, self.batch, side * side, inside)
        if form == "normalised":
            parts = [self.weight(f"patch.norm.{part}", inside) for part in ("weight", "bias")]
            x = self.op("LayerNormalization", x, *parts, name="patch.norm", axis=-1)
        return self.project(x, "patches", inside, self.width)

    def split(self, x: str, names: list[str]) -> None:
        from onnx import helper

        sizes = self.integers(f"sizes_{len(self.nodes)}", *[self.width] * 3)
        self.nodes.append(helper.make_node("Split", [x, sizes], names, name=names[0], axis=-1))


def vit(
    writer: TokenWriter, patch: int, depth: int, hidden: int, classes: int, *, style: Style = "packed",
    gelu: Gelu = "erf", traced: bool = False, patches: Patches = "convolution",
) -> str:  # fmt: skip
    """A vision transformer with a class token; return the logits.

    Parameters
    ----------
    patches : made by a convolution, or cut and multiplied.
    traced : `flatten(2)` and `expand(batch, -1, -1)` as PyTorch's tracer writes them, by computed shapes.
    """
    width, batch = writer.width, writer.batch
    size = writer.inputs[0].type.tensor_type.shape.dim[2].dim_value
    side, x = size // patch, "x"
    if patches == "convolution":
        parameters = writer.weight("patch.weight", width, 3, patch, patch), writer.weight("patch.bias", width)
        x = writer.op("Conv", x, *parameters, name="patches", kernel_shape=[patch] * 2, strides=[patch] * 2)
    if traced:
        ends = [writer.integers(f"flat_{value}", value) for value in (0, 2)]
        kept = writer.op("Slice", writer.op("Shape", x), *ends, writer.integers("flat_axis", 0))
        flat = writer.op("Reshape", x, writer.op("Concat", kept, writer.integers("rest", -1), axis=0))
        one, wanted = numpy_helper.from_array(np.array([1], np.int64)), writer.integers("wanted", batch, -1, -1)
        ones = writer.op("ConstantOfShape", writer.integers("three", 3), value=one)
        open_ends = writer.op("Equal", wanted, writer.op("Mul", ones, writer.scalar(-1)))
        samples = writer.op("Where", open_ends, ones, wanted)
    else:
        samples = writer.integers("samples", batch, 1, 1)
        flat = writer.reshape(x, batch, width, side * side) if patches == "convolution" else ""
    x = writer.op("Transpose", flat, perm=[0, 2, 1]) if flat else writer.cut_patches(size, patch, patches)
    token = writer.op("Expand", writer.weight("cls", 1, 1, width), samples)
    x = writer.op("Concat", token, x, axis=1, name="tokens")
    tokens = side * side + 1
    x = writer.op("Add", x, writer.weight("positions", 1, tokens, width))
    for block in range(depth):
        at = f"encoder.{block}"
        y = writer.attention(writer.layer_norm(x, f"{at}.norm1"), at, tokens, style)
        x = writer.op("Add", y, x)
        y = writer.project(writer.layer_norm(x, f"{at}.norm2"), f"{at}.expand", width, hidden)
        y = writer.project(writer.gelu(y, f"{at}.gelu", gelu), f"{at}.contract", hidden, width)
        x = writer.op("Add", x, y)
    x = writer.op("Gather", writer.layer_norm(x, "norm"), writer.scalar(0), axis=1)
    return writer.gemm(x, "head", width, classes)
