"""Random layers of every row of the operand-role table on the whole machine: golden, simulator and Verilator agree."""

import copy
import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer_compiler.activations import allocate
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.emit_token_products import Epilogue, emit_product
from gossamer_compiler.mapping_tokens import choose_product
from gossamer_compiler.objective import CYCLES
from gossamer_compiler.token_products import Heads, Product
from gossamer_models import host
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.golden.executor import run
from gossamer_models.isa.instructions import Gemm
from gossamer_models.layouts import blocks_of
from gossamer_models.program import MemoryImage, Program
from gossamer_models.roles import Case
from gossamer_models.sparsity import Pattern
from tests.system.patches import leaving
from tests.system.rtl_programs import alternating, disagreements
from tests.system.test_training_step import assert_step
from tests.system.training_cases import convolution, run_step

pytestmark = pytest.mark.slow

MACHINE = load_architecture("wide-4x4")
SMALL = load_architecture("lean-4x4")
TALL = SMALL.model_copy(update={"array": SMALL.array.model_copy(update={"rows": 16, "columns": 2})})
"""Has rows that eight channels leave idle, one vector lane, and little else to build."""
PATTERNS = ["1:2", "1:4", "2:4", "1:8", "2:8", "4:8"]


def convolutional(
    rng: random.Random,
    c_in: int,
    c_out: int,
    groups: int = 1,
    batches: Sequence[int] = (1, 3, 5, 8),
    method: str = "bdwp",
    kernels: Sequence[int] = (1, 3),
    *,
    stem: bool = True,
    tall: bool = False,
) -> Program:
    """One training step around a random convolution, checked against float64 loops."""
    kernel, stride = rng.choice(kernels), rng.choice([1, 2])
    padding = rng.randint(0, kernel // 2)
    image = tuple(rng.randint(kernel - 2 * padding, 4) for _ in range(2))
    net = convolution(kernel, stride, padding, c_in, c_out, (image[0], image[1]), groups, stem=stem)
    batch, seed = rng.choice(batches), rng.randrange(1 << 16)
    with leaving(patches=tall):
        case = run_step(net, batch, method, Pattern.parse(rng.choice(PATTERNS)), TALL if tall else MACHINE, seed)
    assert_step(case)
    return case.program


def attention(rng: random.Random, scores: bool) -> Program:
    """One product of an attention, its sums stored as fp16."""
    tokens, heads, batch = rng.randint(1, 13), rng.choice([1, 2]), rng.choice([1, 5, 8])
    width, turned = 8 * rng.choice([1, 2]), rng.random() < 0.5
    memory = MemoryImage()

    def held(name: str, words: int) -> Heads:
        return Heads(allocate(memory, name, batch, heads * words * 8, 1, tokens), 0, words)

    if scores:
        product = Product(
            held("queries", width // 8), held("keys", width // 8), held("scores", blocks_of(tokens)),
            False, True, heads, tokens, tokens, width,
        )  # fmt: skip
    else:
        product = Product(
            held("scores", blocks_of(tokens)), held("values", width // 8), held("result", width // 8),
            turned, False, heads, tokens, width, tokens,
        )  # fmt: skip
    builder, epilogue = StageBuilder(), Epilogue()
    mapping = choose_product(product, epilogue, MACHINE, "product", CYCLES).mapping
    emit_product(builder, product, mapping, epilogue, MACHINE)
    program = Program("product", MACHINE.name, (builder.finish("product", "ff"),), memory)
    memory.fill()
    numbers = np.random.default_rng(rng.randrange(1 << 16))
    for heads_of in (product.a, product.b):
        shape = heads_of.map.tensor.shape
        host.write(program, heads_of.map.tensor.name, numbers.standard_normal(shape).astype(np.float16))
    assert_product(program, product)
    return program


def assert_product(program: Program, product: Product) -> None:
    """Golden's result within rounding of float64 products, sample by sample and head by head."""
    done = dataclasses.replace(program, memory=copy.deepcopy(program.memory))
    run(done, MACHINE)

    def matrices(heads: Heads) -> NDArray[np.float64]:
        found = host.read(done, heads.map.tensor.name)[..., 0, :].astype(np.float64)
        return found.reshape(len(found), product.heads, -1, found.shape[-1]).swapaxes(2, 3)

    a, b, result = matrices(product.a), matrices(product.b), matrices(product.out)
    left = a.swapaxes(2, 3)[:, :, : product.rows] if product.turned_a else a[..., : product.depth]
    right = b.swapaxes(2, 3) if product.turned_b else b
    expected = left @ right
    np.testing.assert_allclose(result[..., : product.columns], expected, rtol=2.0**-10, atol=2.0**-9)


ROWS: dict[Case, Callable[[random.Random], Program]] = {
    Case.CHANNELS: lambda rng: convolutional(rng, rng.randint(8, 24), rng.randint(1, 24), batches=(3, 5, 8)),
    Case.STRIPS: lambda rng: convolutional(rng, rng.randint(8, 24), rng.randint(1, 24), batches=(1, 2)),
    Case.TURNED: lambda rng: convolutional(rng, rng.randint(8, 24), rng.randint(8, 24), method="sdgp"),
    Case.GRADIENT: lambda rng: convolutional(rng, rng.choice([9, 17, 32]), rng.choice([7, 16, 33])),
    Case.TAPS: lambda rng: convolutional(rng, rng.randint(3, 8), 7, batches=(11, 16, 24), kernels=(3,), tall=True),
    Case.PATCHES: lambda rng: convolutional(rng, rng.randint(1, 7), rng.randint(1, 20), kernels=(3,), stem=False),
    Case.GROUPS: lambda rng: convolutional(rng, *rng.choice([(16, 16, 2), (32, 32, 4), (16, 48, 2), (24, 24, 3)])),
    Case.DIAGONAL: lambda rng: convolutional(rng, *rng.choice([(16, 16, 16), (20, 20, 20), (8, 16, 8), (16, 32, 4)])),
    Case.SCORES: lambda rng: attention(rng, scores=True),
    Case.VALUES: lambda rng: attention(rng, scores=False),
}


def rows_taken(program: Program) -> set[Case]:
    """Rows of the table that the stages of layer ``conv`` took, by what was compiled; a product has one by hand."""
    stages = {stage.stage: stage for stage in program.stages if stage.layer == "conv"}
    if not stages:
        tensors = program.memory.tensors
        return {Case.SCORES} if "queries" in tensors else {Case.VALUES}
    weight = program.memory.tensors["conv.weight"]
    if weight.layout == "grouped":  # N:M stays off where groups share a word
        return {Case.DIAGONAL if stages["ff"].sparsity == "dense" else Case.GROUPS}
    first = next(item for item in stages["ff"].instructions if isinstance(item, Gemm))
    # Words of whole patches; without them every one of the nine taps has a word.
    if "bp" not in stages and first.r2 * first.r1 * first.r0 == blocks_of(math.prod(weight.shape[1:])) < 9:
        return {Case.PATCHES}
    products = [dict(schedule.sizes) for stage in stages.values() for schedule in stage.schedules]
    return {row_of(sizes) for sizes in products}


def row_of(sizes: dict[str, int]) -> Case:
    """Row of a product without groups, by the names and values of its schedule."""
    if "units" in sizes:
        return Case.TAPS if sizes["patches"] else Case.GRADIENT
    if "in_blocks" in sizes:
        return Case.TURNED
    return Case.STRIPS if sizes["down"] * sizes["across"] > 1 else Case.CHANNELS


def programs(cases: Iterable[Case], seeds: Sequence[int]) -> Iterator[tuple[str, Program]]:
    for case, seed in itertools.product(cases, seeds):
        program = ROWS[case](random.Random(seed))
        assert case in rows_taken(program), (case, seed)
        yield f"{case.name} seed {seed}", program


@pytest.mark.parametrize(
    ("machine", "cases", "seeds"),
    [(MACHINE, [case for case in Case if case is not Case.TAPS], (1, 2)), (TALL, [Case.TAPS], (1, 2, 3, 4))],
    ids=["wide", "tall"],
)
def test_executors_agree(machine: Architecture, cases: list[Case], seeds: Sequence[int]) -> None:
    assert ROWS.keys() == set(Case)
    made = list(programs(cases, seeds))
    wrong = disagreements([program for _, program in made], machine, alternating(len(made)))
    assert not wrong, {made[place][0]: text for place, text in wrong.items()}
