"""ONNX files as exporters write them, made operator by operator."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Limits = Literal["attributes", "constants", "initializers"]
Weights = Literal["stored", "inputs", "external"]
Head = Literal["flatten", "reshape", "view", "traced", "mean"]


class Writer:
    """A graph under construction; every method returns the name of the tensor it makes."""

    def __init__(self, shape: Sequence[int | str], *, weights: Weights = "stored", batch: str | int = "batch") -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.inputs: list[ValueInfoProto] = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])]
        self.weights = weights

    def op(self, kind: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any) -> str:
        name = name or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [f"{name}_out"], name=name, domain=domain, **attributes))
        return f"{name}_out"

    def weight(self, name: str, *dims: int) -> str:
        if self.weights == "inputs":
            self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
            return name
        if self.weights == "stored":
            self.initializers.append(numpy_helper.from_array(np.zeros(dims, np.float32), name))
            return name
        tensor = TensorProto(name=name, dims=dims, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="missing.data")
        self.initializers.append(tensor)
        return name

    def integers(self, name: str, *values: int) -> str:
        self.initializers.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def scalar(self, value: int) -> str:
        return self.op("Constant", value=numpy_helper.from_array(np.array(value, np.int64)))

    def conv(
        self, x: str, name: str, c_in: int, c_out: int, kernel: int, stride: int = 1, *, groups: int = 1,
        bias: bool = False,
    ) -> str:  # fmt: skip
        pad = kernel // 2
        parameters = [self.weight(f"{name}.weight", c_out, c_in // groups, kernel, kernel)]
        parameters += [self.weight(f"{name}.bias", c_out)] if bias else []
        return self.op(
            "Conv", x, *parameters, name=name, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4,
            dilations=[1, 1], group=groups,
        )  # fmt: skip

    def norm(self, x: str, name: str, channels: int) -> str:
        parameters = [
            self.weight(f"{name}.{part}", channels) for part in ("weight", "bias", "running_mean", "running_var")
        ]
        return self.op("BatchNormalization", x, *parameters, name=name, epsilon=1e-5, momentum=0.9)

    def clip(self, x: str, limits: Limits, low: float = 0.0, high: float = 6.0) -> str:
        """Clip as PyTorch writes ReLU6: attributes before opset 11, then inputs, as nodes or as stored tensors."""
        if limits == "attributes":
            return self.op("Clip", x, min=low, max=high)
        values = [np.array(limit, np.float32) for limit in (low, high)]
        if limits == "constants":
            return self.op("Clip", x, *(self.op("Constant", value=numpy_helper.from_array(v)) for v in values))
        names = [f"limit_{len(self.nodes)}_{number}" for number in range(2)]
        self.initializers += [numpy_helper.from_array(v, name) for v, name in zip(values, names, strict=True)]
        return self.op("Clip", x, *names)

    def gemm(self, x: str, name: str, features: int, classes: int) -> str:
        weight, bias = self.weight(f"{name}.weight", classes, features), self.weight(f"{name}.bias", classes)
        return self.op("Gemm", x, weight, bias, name=name, alpha=1.0, beta=1.0, transB=1)

    def head(self, x: str, head: Head) -> str:
        """Global mean and flatten in one of the forms that exporters write."""
        if head == "mean":
            return self.op("ReduceMean", x, name="pool", axes=[2, 3], keepdims=0)
        x = self.op("GlobalAveragePool", x, name="pool")
        if head == "flatten":
            return self.op("Flatten", x, name="flatten", axis=1)
        if head == "reshape":
            return self.op("Reshape", x, self.integers("target", 0, -1), name="flatten")
        if head == "traced":  # as PyTorch wrote a view before opset 13: constants are nodes, axes attributes
            batch = self.op("Gather", self.op("Shape", x), self.scalar(0), axis=0)
            parts = [self.op("Unsqueeze", part, axes=[0]) for part in (batch, self.scalar(-1))]
            return self.op("Reshape", x, self.op("Concat", *parts, axis=0), name="flatten")
        first = numpy_helper.from_array(np.array(0, np.int64), "first")
        self.initializers.append(first)
        batch = self.op("Gather", self.op("Shape", x), first.name, axis=0)
        batch = self.op("Unsqueeze", batch, self.integers("axes", 0))
        return self.op("Reshape", x, self.op("Concat", batch, self.integers("rest", -1), axis=0), name="flatten")

    def model(self, output: str, opset: int = 17) -> ModelProto:
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "main_graph", self.inputs, [result], self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)

    def save(self, folder: Path, output: str, opset: int = 17) -> Path:
        path = folder / "net.onnx"
        path.write_bytes(self.model(output, opset).SerializeToString())
        return path


def resnet18(writer: Writer, *, folded: bool = False, head: Head = "flatten") -> str:
    """ResNet-18 of torchvision, with or without normalisations; return the logits."""

    def conv(x: str, name: str, norm: str, c_in: int, c_out: int, kernel: int, stride: int) -> str:
        x = writer.conv(x, name, c_in, c_out, kernel, stride, bias=folded)
        return x if folded else writer.norm(x, norm, c_out)

    x = writer.op("Relu", conv("x", "/conv1/Conv", "/bn1/BatchNormalization", 3, 64, 7, 2))
    x = writer.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=0)
    c_in = 64
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            at = f"/layer{stage}/layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = conv(x, f"{at}/conv1/Conv", f"{at}/bn1/Norm", c_in, channels, 3, stride)
            y = writer.op("Relu", y)
            y = conv(y, f"{at}/conv2/Conv", f"{at}/bn2/Norm", channels, channels, 3, 1)
            if stride > 1:
                x = conv(x, f"{at}/downsample.0/Conv", f"{at}/downsample.1/Norm", c_in, channels, 1, stride)
            x = writer.op("Relu", writer.op("Add", y, x, name=f"{at}/Add"))
            c_in = channels
    return writer.gemm(writer.head(x, head), "/fc/Gemm", 512, 1000)


def mobilenetv2(writer: Writer, limits: Limits = "initializers") -> str:
    """MobileNetV2 of torchvision, ReLU6 as exporters write it; return the logits."""

    def conv(x: str, name: str, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> str:
        return writer.norm(writer.conv(x, name, c_in, c_out, kernel, stride, groups=groups), f"{name}_norm", c_out)

    x = writer.clip(conv("x", "features.0", 3, 32, 3, 2), limits)
    c_in, number = 32, 1
    plan = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, channels, repeat, first_stride in plan:
        for block in range(repeat):
            hidden, stride, entry = c_in * expansion, first_stride if block == 0 else 1, x
            if expansion > 1:
                x = writer.clip(conv(x, f"features.{number}.expand", c_in, hidden, 1), limits)
            x = writer.clip(conv(x, f"features.{number}.depthwise", hidden, hidden, 3, stride, hidden), limits)
            x = conv(x, f"features.{number}.project", hidden, channels, 1)
            if stride == 1 and c_in == channels:
                x = writer.op("Add", entry, x)
            c_in, number = channels, number + 1
    x = writer.clip(conv(x, "features.18", 320, 1280, 1), limits)
    x = writer.op("Dropout", writer.head(x, "flatten"))
    return writer.op("Softmax", writer.gemm(x, "classifier", 1280, 1000), axis=1)
