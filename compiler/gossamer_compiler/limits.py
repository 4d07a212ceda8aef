"""Layers whose sizes no instruction holds, and whether the batch is to blame."""

from collections.abc import Iterator
from contextlib import contextmanager

from gossamer_models.errors import UnsupportedError
from gossamer_models.isa.fields import FieldRangeError
from gossamer_models.network import Network
from gossamer_models.shapes import infer

__all__ = ["LayerRangeError", "within_instructions"]


class LayerRangeError(UnsupportedError):
    """A layer at some batch needs a value that an instruction's field cannot hold.

    Parameters
    ----------
    layer : its name.
    fault : which field, its limits and the value.
    """

    def __init__(self, layer: str, fault: str) -> None:
        super().__init__(f"layer {layer!r} exceeds the instruction set: {fault}", "a smaller batch", path="batch")
        self.args = (layer, fault)
        self.layer, self.fault = layer, fault

    def whatever_the_batch(self, network: Network) -> UnsupportedError:
        """The error of a layer that exceeds the instruction set at batch 1 too: its own sizes are at fault."""
        ways = (
            f"{channels} channels of {height} x {width} pixels"
            for shape in infer(network)
            if shape.name == self.layer
            for channels, height, width in (shape.in_shape, shape.out_shape)
        )
        what = f"exceeds the instruction set even at batch 1 ({', to '.join(ways)}): {self.fault}"
        return UnsupportedError(what, "smaller maps or fewer channels", network.source, f"layer {self.layer!r}")


@contextmanager
def within_instructions(layer: str) -> Iterator[None]:
    """Say which layer's sizes an instruction cannot express.

    Raises
    ------
    LayerRangeError
        The layer's, for the batch that it is compiled for.
    """
    try:
        yield
    except FieldRangeError as error:
        raise LayerRangeError(layer, str(error)) from error
