"""Networks: what a file of layers means once its blocks are expanded and every layer knows what it reads.

A file lists layers in order; a layer without `inputs` reads the one before it. Repeated structure is written once under
``blocks`` as a template whose values may be ``$parameter``, and used by a layer of type ``block``::

    blocks:
      basic:
        parameters: [channels]
        layers:
          - {name: conv, type: conv2d, out_channels: $channels, kernel: 3, padding: 1}
          - {name: add, type: add, inputs: [conv, $input]}
    layers:
      - {name: layer1, type: block, block: basic, with: {channels: 64}, repeat: 2}

The layers of a used block are called ``layer1.conv``, those of a repeated one ``layer1.0.conv``, ``layer1.1.conv``; the
name of the use stands for the output of its last layer. Inside a block, ``$input`` is what the block reads.
"""

from dataclasses import dataclass
from pathlib import Path

from gossamer_models.blocks import NetworkFile, expand
from gossamer_models.layers import NetworkLayer
from gossamer_models.loading import load_yaml, resolve, validate
from gossamer_models.shapes import Shape, infer

__all__ = ["Network", "load_network"]


@dataclass(frozen=True, slots=True)
class Network:
    """A network whose shapes chain.

    Attributes
    ----------
    name : str
        Name that reports print.
    source : str
        File that it came from, for messages.
    input_shape : tuple of int
        (channels, height, width) of one sample.
    classes : int
        Number of labels; 1 without a softmax.
    layers : tuple of NetworkLayer
        In an order in which every layer follows what it reads; `inputs` are names of layers, or ``input``.
    """

    name: str
    source: str
    input_shape: Shape
    classes: int
    layers: tuple[NetworkLayer, ...]


def load_network(source: str | Path, relative_to: str | Path | None = None) -> Network:
    """Load a network from a file or a built-in name, and check that its shapes chain.

    Parameters
    ----------
    source : str or Path
        Built-in name or path.
    relative_to : str or Path, optional
        File in which `source` stands.

    Raises
    ------
    InputError
        With the file, the place in it, what is wrong and what would be right.
    """
    path = resolve(source, "networks", relative_to)
    file = validate(NetworkFile, load_yaml(path), str(path))
    shape = (file.input.channels, file.input.height, file.input.width)
    network = Network(file.name, str(path), shape, file.classes or 1, expand(file, str(path)))
    infer(network)
    return network
