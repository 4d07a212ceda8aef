"""GEMM cases on the golden executor's machine."""

from collections.abc import Sequence

import numpy as np

from gossamer_hw.cosim.executor import GemmCase
from gossamer_models.architecture import Architecture
from gossamer_models.golden.gemm_engine import gemm
from gossamer_models.golden.state import Machine
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.numerics.formats import Float32


def golden_accumulators(architecture: Architecture, cases: Sequence[GemmCase]) -> list[Float32]:
    """What each instruction leaves from its ``acc_base`` on, shape (tiles Li Lj R, C)."""
    array = architecture.array
    machine = Machine(architecture, np.zeros(0, np.uint8))
    machine.start_stage()
    found = []
    for case in cases:
        g = case.instruction
        if case.rewind:
            machine.start_stage()
        images = ((Buffer.A, case.a), (Buffer.B, case.values), (Buffer.B_META, case.metadata))
        for buffer, image in images:
            if image is not None:
                machine.write(Engine.GEMM, buffer, 0, image)
        gemm(machine, g)
        words = g.tiles * g.li * g.lj * array.rows
        place = 4 * array.columns * g.acc_base
        held = machine.read(Engine.GEMM, Buffer.ACC, np.float32, place, words * array.columns)
        found.append(held.reshape(-1, array.columns))
        machine.advance(Engine.GEMM, g.advance)
    return found
