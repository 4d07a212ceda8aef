"""Which gradients a method prunes, and the entries of those that it has."""

from gossamer_compiler.activations import Activation
from gossamer_compiler.graph import Chain, Graph, Loss, Multiply, sources_of
from gossamer_compiler.sampled import Sampled, allocate_sampled
from gossamer_models.architecture import Architecture
from gossamer_models.errors import UnsupportedError
from gossamer_models.layouts import BLOCK
from gossamer_models.methods import Method
from gossamer_models.program import MemoryImage
from gossamer_models.sampling import stream_seed
from gossamer_models.sparsity import Pattern

__all__ = ["PrunedGradients", "read_by_passes", "require_words"]


class PrunedGradients:
    """Entries of the gradients of one training step, by tensor.

    Parameters
    ----------
    seed : of unbiased pruning.
    """

    def __init__(self, method: Method, pattern: Pattern, seed: int, memory: MemoryImage) -> None:
        self._method, self._pattern, self._seed, self._memory = method, pattern, seed, memory
        self._entries: dict[str, Sampled] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def new(self, name: str, gradient: Activation, made_by: Multiply | None) -> Sampled | None:
        """Entries of the complete gradient of a tensor, if the layer that made it is to read entries.

        First layers have no BP and stay dense in WU; groups that share a word are never pruned, and for BP no groups.
        """
        by_channel = self._method.prunes_gradient
        wanted = by_channel or self._method.samples_gradient
        if made_by is None or not wanted or made_by.first or made_by.grouping.diagonal:
            return None
        if by_channel and made_by.grouping.groups > 1:
            return None
        seed = 0 if by_channel else stream_seed(self._seed, len(self._entries))
        self._entries[name] = allocate_sampled(
            self._memory, f"{name}.sampled", gradient, self._pattern, seed, along_channels=by_channel
        )
        return self._entries[name]

    def for_backward(self, name: str) -> Sampled | None:
        """Operand B of BP of the layer that made a tensor."""
        return self._entries.get(name) if self._method.prunes_gradient else None

    def for_gradient(self, name: str) -> Sampled | None:
        """Operand B of its WU."""
        return self._entries.get(name) if self._method.samples_gradient else None


def require_words(method: Method, architecture: Architecture) -> None:
    """Refuse methods that prune gradients on machines whose words are none of a layout's blocks.

    Raises
    ------
    UnsupportedError
        With the words that there are and those that there must be.
    """
    word = architecture.array.group
    if (method.samples_gradient or method.prunes_gradient) and word != BLOCK:
        what = (
            f"{method.name} prunes gradients in words of {BLOCK} elements, and {architecture.name} has words of {word}"
        )
        raise UnsupportedError(what, f"another method, or an architecture with `array.group: {BLOCK}`")


def read_by_passes(graph: Graph, name: str) -> bool:
    """Whether only passes of the vector engine read the parts of a tensor's gradient: its sum, or BP of a chain."""
    readers = sum(name in sources_of(node) for node in graph.nodes)
    made_by = next((n for n in graph.nodes if not isinstance(n, Loss) and n.output == name), None)
    if readers > 1:
        return True
    return isinstance(made_by, Chain) and not made_by.plain and (made_by.residual is None or made_by.relu)
