"""Stages written once per shape are those that each layer would write for itself."""

import dataclasses
from dataclasses import dataclass

import pytest

from gossamer_compiler.stage_book import StageBook, stage_book
from gossamer_compiler.training import compile_training
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.isa.instructions import Load
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.placement import MAX_OPERAND_BYTES, Placed
from gossamer_models.program import Program, StageProgram, Tensor, TensorLayout
from gossamer_models.sparsity import Pattern

CASES = [
    ("resnet9-32", "vcu1525-32x32", 64, "bdwp", "2:8"),
    ("resnet9-32", "vcu1525-32x32", 60, "bdwp-mvue", "2:8"),
    ("mobilenetv2-224", "vcu1525-32x32", 32, "sr-ste", "2:4"),
    ("vit-32", "vcu1525-32x32", 64, "transposable", "2:4"),
    ("digits-cnn", "small-8x8", 20, "dense", None),
]


def compiled(network: str, architecture: str, batch: int, method: str, sparsity: str | None) -> Program:
    pattern = Pattern.parse(sparsity) if sparsity else None
    machine = load_architecture(architecture)
    return compile_training(load_network(network), batch, METHODS[method], pattern, machine, prepare=True)


def apart(book: StageBook, work: object, layer: str, stage: str, beside: str = "") -> StageProgram:
    made: StageProgram = work.emit(book._architecture, layer)  # type: ignore[attr-defined]
    return dataclasses.replace(made, layer=layer, stage=stage, beside=beside)


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[3]}")
def test_equal_works_share_all_but_places(
    case: tuple[str, str, int, str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = compiled(*case).stages
    monkeypatch.setattr(StageBook, "stage", apart)
    for found, expected in zip(shared, compiled(*case).stages, strict=True):
        assert found == expected, f"{found.layer} {found.stage}"


def test_repeated_blocks_are_written_once() -> None:
    stage_book.cache_clear()  # a book is bounded: what other tests left may leave it early
    stages = compiled("resnet50-224", "vcu1525-32x32", 64, "bdwp", "2:8").stages
    placed = [stage.instructions for stage in stages if isinstance(stage.instructions, Placed)]
    assert len(placed) > 0.95 * len(stages)
    assert len({id(body.blueprint) for body in placed}) < 0.42 * len(placed)


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads tensors."""

    tensors: tuple[Tensor, ...]
    words: int = 1

    def emit(self, architecture: Architecture, layer: str) -> StageProgram:
        del architecture
        loads = [Load(mem_base=tensor.address - 64, buf_base=self.words) for tensor in self.tensors]
        return StageProgram(layer, "", tuple(loads))


def reading(*addresses: int, size: int = 100, words: int = 1, layout: TensorLayout = "blocks") -> StageProgram:
    tensors = tuple(Tensor(f"t{place}", place, size, layout, ()) for place in addresses)
    book = stage_book(load_architecture("small-8x8"))
    return book.stage(Reading(tensors, words), "layer", "ff")


def blueprint(stage: StageProgram) -> object:
    return stage.instructions.blueprint if isinstance(stage.instructions, Placed) else None


def test_places_are_each_stages_own() -> None:
    first, other = reading(0, 8192), reading(1 << 37, 0)
    assert blueprint(first) is blueprint(other) is not None
    assert [item.mem_base for item in other.instructions if isinstance(item, Load)] == [(1 << 37) - 64, -64]
    assert first.instructions == (Load(mem_base=-64, buf_base=1), Load(mem_base=8128, buf_base=1))


@pytest.mark.parametrize(
    "other",
    [
        reading(0, 8192, words=2),
        reading(0, 8192, size=101),
        reading(0, 8192, layout="raw"),
        reading(0, 0),
        reading(0, 8192, 16384),
        reading(0, 8256),
    ],
    ids=["word", "size", "layout", "one tensor twice", "three tensors", "alignment"],
)
def test_what_decides_a_stage_sets_it_apart(other: StageProgram) -> None:
    assert blueprint(reading(0, 8192)) is not blueprint(other) is not None


def test_distances_of_masters_are_kept() -> None:
    """An update moves masters that follow each other in one transfer, whose stride is their distance."""
    near, far = reading(0, 4096, layout="weights"), reading(0, 8192, layout="weights")
    assert blueprint(near) is not blueprint(far)
    assert blueprint(near) is blueprint(reading(40960, 45056, layout="weights"))


def test_what_has_no_stand_in_is_written_anew() -> None:
    assert blueprint(reading(0, size=MAX_OPERAND_BYTES + 1)) is None
    assert blueprint(reading(*range(0, 4096 * 40, 4096))) is None
