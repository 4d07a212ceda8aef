"""``gossamer verify PROGRAM``: what it compares, and that differences fail."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gossamer.rtl
from gossamer import api
from gossamer.cli import main
from gossamer.verify_file import ORDERS, MachineRun, verify_file, verify_image
from gossamer_compiler.product import compile_product
from gossamer_models import host
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import InputError
from gossamer_models.golden.executor import run
from gossamer_models.isa.instructions import (
    Dim,
    EndLoop,
    Format,
    FoundMode,
    Gemm,
    Instruction,
    Load,
    Loop,
    Modifier,
    ModifierKind,
    Prune,
    PruneMode,
    Store,
    Vector,
    VectorOp,
)
from gossamer_models.isa.loops import field_number, walk
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.program import MemoryImage, Program, StageProgram
from gossamer_models.program_file import save_program
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import simulate

MACHINE = load_architecture("wide-4x4")


def product() -> Program:
    made = compile_product(8, 16, 8, Pattern(2, 8), MACHINE)
    made.memory.fill()
    rng = np.random.default_rng(3)
    host.write(made, "a", rng.standard_normal((8, 16, 1, 1)).astype(np.float16))
    host.write_entries(made, "b", rng.standard_normal((16, 8)).astype(np.float16), Pattern(2, 8))
    return made


def racing() -> Program:
    """Two engines write the same bytes of DRAM and scratchpad without a token between them."""
    dims = (Dim(count=64, mem_stride=2, buf_stride=2, axis=3),)
    instructions: tuple[Instruction, ...] = (
        Vector(op=VectorOp.FILL, format=Format.FP16, count=64, signal=Semaphore.VOUT_FULL),
        Store(buffer=Buffer.VOUT, format=Format.FP16, dims=dims, wait=Semaphore.VOUT_FULL),
        Load(buffer=Buffer.VIN, format=Format.FP16, dims=dims, signal=Semaphore.VIN_FULL),
        Vector(op=VectorOp.APPLY, format=Format.FP16, count=64, target0=256, wait=Semaphore.VIN_FULL,
               signal=Semaphore.VOUT_FULL),
        Store(buffer=Buffer.VOUT, format=Format.FP16, dims=dims, mem_base=256, buf_base=256, wait=Semaphore.VOUT_FULL),
    )  # fmt: skip
    memory = MemoryImage(size_bytes=512)
    memory.data = np.full(512, 7, np.uint8)
    return Program("race", MACHINE.name, (StageProgram("race", "ff", instructions),), memory)


def faithful(program: Program, machine: Architecture, memory: str, seed: int) -> MachineRun:
    """A machine that is right."""
    assert program.memory.data is not None
    copy = MemoryImage(program.memory.tensors, program.memory.size_bytes, program.memory.data.copy())
    run(Program(program.name, program.architecture, program.stages, copy), machine)
    assert copy.data is not None
    stages = simulate(program, machine, memory=memory, seed=seed).stages
    return MachineRun(copy.data, tuple(stage.cycles for stage in stages))


def test_program_that_is_right() -> None:
    made = product()
    assert made.memory.data is not None
    before = made.memory.data.copy()
    found = verify_image(made, MACHINE, seed=4)
    assert found.passed
    assert (found.rtl_cycles, found.mismatches, found.late, found.shortcut) == (None, 0, (), ())
    assert found.instructions == sum(1 for stage in made.stages for _ in walk(stage.instructions))
    assert found.image_bytes == made.memory.size_bytes
    np.testing.assert_array_equal(made.memory.data, before)


def test_machine_that_is_right() -> None:
    found = verify_image(product(), MACHINE, machine=faithful)
    assert found.passed
    assert found.rtl_cycles == found.sim_cycles > 0


def test_machine_that_is_wrong() -> None:
    def wrong(program: Program, machine: Architecture, memory: str, seed: int) -> MachineRun:
        right = faithful(program, machine, memory, seed)
        right.memory[5] ^= 1
        return MachineRun(right.memory, (right.stage_cycles[0] + 3,))

    found = verify_image(product(), MACHINE, machine=wrong)
    assert not found.passed
    assert found.mismatches == 1
    assert [(item.layer, item.stage, item.found - item.simulated) for item in found.late] == [("product", "ff", 3)]


def test_races_are_found() -> None:
    found = [verify_image(racing(), MACHINE, seed=seed).mismatches for seed in range(0, 4 * ORDERS, ORDERS)]
    assert max(found) > 0


def replayed(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Save a Program that is right, verify it by the command; return the result."""
    save_program(product(), MACHINE, path / "p.gossamer")
    assert main(["verify", str(path / "p.gossamer"), "--out", str(path / "out")]) == 0
    printed = capsys.readouterr()
    result: dict[str, Any] = json.loads((path / "out" / "result.json").read_text())
    assert printed.out.startswith(f"every bit equal; cycles equal ({result['cycles']['sim']:,})")
    assert printed.err == ""
    assert (result["bit_exact"], result["cycle_exact"], result["seed"]) == (True, True, 0)
    return result


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gossamer.rtl, "run_machine", faithful)
    cycles = replayed(tmp_path, capsys)["cycles"]
    assert cycles["rtl"] == cycles["sim"]


@pytest.mark.slow
def test_command_in_rtl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cycles = replayed(tmp_path, capsys)["cycles"]
    assert cycles["rtl"] == cycles["sim"]


def test_command_fails_on_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gossamer.rtl, "run_machine", faithful)
    save_program(racing(), MACHINE, tmp_path / "race.gossamer")
    codes = [
        main(["verify", str(tmp_path / "race.gossamer"), "--seed", str(seed), "--out", str(tmp_path / "out")])
        for seed in range(0, 4 * ORDERS, ORDERS)
    ]
    assert set(codes) <= {0, 1}
    assert 1 in codes
    assert "results differ" in capsys.readouterr().out


def using_what_was_left(name: str) -> Program:
    """Stores bytes that nothing has written, the rest of a half or parameters, or obeys a flag that nothing cleared."""
    fill = Vector(
        op=VectorOp.FILL, format=Format.FP16, count=64, signal=Semaphore.VOUT_FULL, advance=Advance.VOUT
    )  # fmt: skip
    dims = (Dim(count=128, mem_stride=2, buf_stride=2),)
    out = Store(wait=Semaphore.VOUT_FULL, buffer=Buffer.VOUT, format=Format.FP16, mem_base=0, dims=dims)
    parameters = Store(buffer=Buffer.PRM, format=Format.FP16, mem_base=0, dims=dims)
    load = Load(
        buffer=Buffer.VIN, format=Format.FP32, mem_base=1024, signal=Semaphore.VIN_FULL, dims=(Dim(192, 4, 4),)
    )  # fmt: skip
    update = Vector(
        op=VectorOp.UPDATE, count=64, source1=256, source2=512, target1=256, target2=512, scalar0=0x3F800000,
        scalar4=0x3F800000, found_mode=FoundMode.OBEY, wait=Semaphore.VIN_FULL, signal=Semaphore.VOUT_FULL,
    )  # fmt: skip
    items = {"half": (fill, out), "parameters": (parameters,), "flag": (load, update, out)}[name]
    image = MemoryImage(size_bytes=4096)
    image.fill()
    assert image.data is not None
    image.data[1024:2048].view(np.float32)[:] = 1
    return Program("p", MACHINE.name, (StageProgram("a", "ff", items),), image)


def test_results_of_a_flag_that_was_left_are_found() -> None:
    """Where no flag is set at first, as in a process of its own, every executor agrees."""
    found = verify_image(using_what_was_left("flag"), MACHINE, machine=faithful)
    assert not found.passed
    assert found.mismatches > 100
    assert not found.late


@pytest.mark.parametrize(("name", "where"), [("half", "byte 128 of half 0 of VOUT"), ("parameters", "byte 0 of PRM")])
def test_bytes_that_were_left_are_refused(name: str, where: str, tmp_path: Path) -> None:
    save_program(using_what_was_left(name), MACHINE, tmp_path / "left.gossamer")
    with pytest.raises(InputError, match=rf"\(STORE\): reads {where}, which nothing has written"):
        verify_file(tmp_path / "left.gossamer", machine=faithful)


@pytest.mark.parametrize("target", [("workloads/digits-cnn-bdwp.yaml",), ("--gemm", "4,8,4")])
def test_memory_of_what_is_no_program(target: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *target, "--memory", "scripted"]) == 2
    assert "--memory goes with a saved PROGRAM" in " ".join(capsys.readouterr().err.split())


def test_memory_without_hdl(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no memory 'ddr4' exists in HDL; expected ideal or scripted"):
        api.verify_program(tmp_path / "none.gossamer", memory="ddr4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--batch", "3"), "--batch goes with a workload"),
        (("--arch", "small-8x8"), "--arch goes with a workload or --gemm"),
        (("--sparsity", "2:8"), "--sparsity goes with --gemm"),
        (("--seed", "-1"), "the seed must be a non-negative integer, not -1"),
        ((), "no such file"),
    ],
)
def test_wrong_input(
    options: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tmp_path / "none.gossamer"), *options, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_symbolic_and_illegal_programs_are_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    symbolic, illegal = product(), racing()
    symbolic.memory.data = None
    bad = Program("bad", MACHINE.name, (StageProgram("a", "ff", (Vector(op=63),)),), illegal.memory)
    for program, message in ((symbolic, "symbolic"), (bad, "`op` must be one of")):
        path = tmp_path / "p.gossamer"
        save_program(program, MACHINE, path)
        assert main(["verify", str(path), "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ((Load(modifiers=(Modifier(field_number(Load, "dims"), ModifierKind.STEP, 1, 1),)),), "scalar field, not 17"),
        ((Load(modifiers=(Modifier(field_number(Load, "wait"), ModifierKind.FIRST, 4, 1),)),), "loops around it"),
        ((), "takes 12884901891 cycles or more; expected at most 20000000"),
        ((Load(dims=(Dim(count=8, mem_stride=2, buf_stride=2), Dim(0xFFFF), Dim(0xFFFF)), buffer=Buffer.VIN),),
         "takes 2147418112 cycles or more"),
        ((Gemm(log2_li=2, entries=8),), "`chunk_words` must be at least 1"),
    ],
    ids=["array", "loop that is not open", "endless loop", "endless load", "chunk of nothing"],
)  # fmt: skip
def test_damaged_programs_are_bad_input(
    body: tuple[Instruction, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instructions = (Loop(level=0, count=2 if body else 0xFFFFFFFF), *body, EndLoop(level=0))
    bad = Program("bad", MACHINE.name, (StageProgram("a", "ff", instructions),), racing().memory)
    save_program(bad, MACHINE, tmp_path / "p.gossamer")
    assert main(["verify", str(tmp_path / "p.gossamer"), "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_what_no_rtl_has_is_verified_without_it(tmp_path: Path) -> None:
    fill = Vector(op=VectorOp.FILL, format=Format.FP16, count=64, signal=Semaphore.WEIGHT_FULL)
    draw = Prune(keep=2, of=8, valid=8, mode=PruneMode.UNBIASED, wait=Semaphore.WEIGHT_FULL)
    drawing = Program("draw", MACHINE.name, (StageProgram("a", "wu", (fill, draw)),), racing().memory)
    save_program(drawing, MACHINE, tmp_path / "p.gossamer")
    found = verify_file(tmp_path / "p.gossamer", machine=faithful)
    assert found.passed
    assert found.rtl_cycles is None


def test_image_is_compared_as_saved(tmp_path: Path) -> None:
    save_program(product(), MACHINE, tmp_path / "p.gossamer")
    assert verify_file(tmp_path / "p.gossamer", machine=faithful).passed
