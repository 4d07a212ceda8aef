"""Random workloads on the simulator with all shortcuts, and the long way: every iteration of every stage on SimPy.

``python -m tests.system.long_way COUNT`` prints what it found of as many workloads as JSON.
"""

import dataclasses
import json
import sys
from collections import Counter

import numpy as np

from gossamer_compiler.training import compile_training
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import InputError
from gossamer_models.isa.header import INSTRUCTION_BYTES
from gossamer_models.methods import METHODS
from gossamer_models.program import Program
from gossamer_models.program_encoding import program_base
from gossamer_models.sparsity import Pattern
from gossamer_models.timeline import StageTiming
from gossamer_sim.executor import simulate
from gossamer_sim.memory import memory_model
from gossamer_sim.stage import run_stage, timing
from tests.system.training_cases import random_network

RULES = ("dense", "sr-ste", "sdgp", "sdwp", "bdwp", "bdwp-mvue", "transposable", "bi-mask", "inference")
BATCHES = (1, 3, 8, 24, 64, 100, 256)
MACHINES = ("wide-4x4", "small-8x8", "tiny-4x4", "vcu1525-32x32")
MEMORIES = ("ideal", "ddr4", "lpddr4", "hbm2")


def workload(seed: int) -> tuple[Program, Architecture, str]:
    """A random network, image, batch, method and pattern that fit a random machine, behind a random memory."""
    rng = np.random.default_rng(seed)
    machine, memory = load_architecture(str(rng.choice(MACHINES))), str(rng.choice(MEMORIES))
    while True:
        rule = METHODS[str(rng.choice(RULES))]
        sparsity = "2:4" if rule.name == "transposable" else str(rng.choice(["2:8", "1:4", "2:4"]))
        pattern = None if rule.name == "dense" else Pattern.parse(sparsity)
        net, larger = random_network(rng), int(rng.integers(1, 6))
        channels, height, width = net.input_shape
        net = dataclasses.replace(net, input_shape=(channels, larger * height, larger * width))
        try:
            return compile_training(net, int(rng.choice(BATCHES)), rule, pattern, machine), machine, memory
        except InputError:
            continue


def compared(seed: int) -> tuple[Counter[str], list[str]]:
    """Cycles, stages and iterations left out of a workload, and the stages that the shortcuts change."""
    program, machine, memory = workload(seed)
    short = simulate(program, machine, memory=memory, trace=True).stages
    pairs = list(zip(short, long_way(program, machine, memory), strict=True))
    found = Counter(
        stages=len(short),
        cycles=sum(stage.cycles for stage in short),
        iterations=sum(skip.iterations for stage in short for skip in stage.skips),
    )
    return found, [f"seed {seed}: {one.layer} {one.stage}" for one, other in pairs if walked(one) != other]


def long_way(program: Program, machine: Architecture, memory: str) -> list[StageTiming]:
    """Every iteration of every loop of every stage, on SimPy; nothing is remembered from stage to stage."""
    found: list[StageTiming] = []
    start, address = 0, program_base(program)
    for stage in program.stages:
        run = run_stage(stage, machine, memory_model(machine, memory)[1], address=address, periodic=False)
        found.append(timing(stage, run, start, machine.array.macs_per_cycle))
        start += found[-1].cycles
        address += (1 + len(stage.instructions)) * INSTRUCTION_BYTES
    return found


def walked(stage: StageTiming) -> StageTiming:
    """What a stage takes, without what was seen of it."""
    return dataclasses.replace(stage, spans=(), skips=())


def main(count: int) -> None:
    """Print the sums over ``count`` workloads."""
    total: Counter[str] = Counter(workloads=count)
    different: list[str] = []
    for seed in range(count):
        found, stages = compared(seed)
        total.update(found)
        different += stages
    sys.stdout.write(json.dumps({**total, "different": different}) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
