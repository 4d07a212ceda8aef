"""The bound on what weight-stationary saves, of a Program whose instructions are few."""

from gossamer.bench_dataflow import saved_cycles
from gossamer_compiler.product import compile_product
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Gemm
from gossamer_models.isa.loops import walk
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.gemm import gemm_cycles


def test_full_rows_leave_nothing_and_idle_ones_do() -> None:
    machine = load_architecture("tiny-4x4")
    full = compile_product(64, 64, 32, Pattern(2, 8), machine)
    cost = [gemm_cycles(machine.array, g) for g in walk(full.stages[0].instructions) if isinstance(g, Gemm)]
    assert saved_cycles(full, machine) == (sum(c.issue + c.drain for c in cost), 0)
    cycles, saved = saved_cycles(compile_product(1, 64, 32, Pattern(2, 8), machine), machine)
    assert 0.5 < saved / cycles < 1
