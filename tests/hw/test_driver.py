"""Driver against a register bus that is a dictionary: what it writes, what it makes of what it reads."""

import dataclasses

import numpy as np
import pytest

from gossamer_hw.driver import AsyncDriver, Driver, FaultReport
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import GossamerError
from gossamer_models.isa.instructions import Dataflow, Gemm, Instruction, Load, Prune, PruneMode, Vector, VectorOp
from gossamer_models.isa.tokens import Engine, Semaphore
from gossamer_models.program import MemoryImage, Program, StageProgram
from gossamer_models.program_encoding import encode_program, program_base
from gossamer_models.registers import Fault, State, identification, offset

_S = Semaphore
TINY = load_architecture("wide-4x4")


def driver_of(machine: "Machine") -> Driver:
    """One that has checked its machine."""
    driver = Driver(machine, machine)
    driver.check(TINY)
    return driver


class Machine:
    """Registers that hold what is written, and memory."""

    def __init__(self) -> None:
        self.registers = {offset(name): value for name, value in identification(TINY).items()}
        self.writes: list[tuple[int, int]] = []
        self.memory = bytearray(1 << 16)
        self.states = [State.IDLE]

    def read32(self, offset_bytes: int) -> int:
        if offset_bytes == offset("STATUS"):
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return state | 0b00101 << 8 | 0b10000 << 16
        return self.registers.get(offset_bytes, 0)

    def write32(self, offset_bytes: int, value: int) -> None:
        self.writes.append((offset_bytes, value))
        self.registers[offset_bytes] = value

    def write(self, address: int, data: bytes) -> None:
        self.memory[address : address + len(data)] = data

    def read(self, address: int, size_bytes: int) -> bytes:
        return bytes(self.memory[address : address + size_bytes])


def program_of(size_bytes: int = 5000) -> Program:
    image = MemoryImage(size_bytes=size_bytes)
    image.fill()
    assert image.data is not None
    image.data[:] = np.arange(size_bytes, dtype=np.uint8) | 1
    stages = (
        StageProgram("a", "ff", (Load(buf_base=16), Vector(count=8)), ((_S.VIN_FREE, 2), (_S.STORED, 15))),
        StageProgram("b", "bp", ()),
    )
    return Program("p", "wide-4x4", stages, image)


def test_load_and_start() -> None:
    machine, program = Machine(), program_of()
    driver = driver_of(machine)
    driver.load(program, watchdog_cycles=99)
    stages = encode_program(program)
    assert program.memory.data is not None
    assert machine.memory[:5000] == program.memory.data.tobytes()
    assert machine.memory[8192 : 8192 + len(stages)] == stages
    driver.start()
    names = ["PROGRAM_BASE_LOW", "PROGRAM_BASE_HIGH", "MEMORY_SIZE_LOW", "MEMORY_SIZE_HIGH"]
    names += ["PROGRAM_STAGES", "WATCHDOG", "INTERRUPT_STATUS", "INTERRUPT_ENABLE", "CONTROL"]
    values = [8192, 0, 8192 + len(stages), 0, 2, 99, 3, 3, 1]
    assert machine.writes == [(offset(name), value) for name, value in zip(names, values, strict=True)]


def test_load_needs_room() -> None:
    machine = Machine()
    with pytest.raises(GossamerError, match="program 'p' needs 8960 bytes of DRAM, not 8191"):
        driver_of(machine).load(program_of(), memory_bytes=8191)
    assert not machine.writes


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Vector(op=VectorOp.GELU), "no RTL has GELU, which program 'p' needs"),
        (Prune(keep=2, of=8, mode=PruneMode.UNBIASED), "program 'p' prunes in a mode that no RTL has"),
        (Gemm(dataflow=Dataflow.WS), "program 'p' is weight-stationary, which no RTL is"),
    ],
)
def test_programs_that_no_rtl_runs(item: Instruction, message: str) -> None:
    machine, program = Machine(), program_of()
    wrong = dataclasses.replace(program, stages=(*program.stages, StageProgram("c", "ff", (item,))))
    with pytest.raises(GossamerError, match=message):
        driver_of(machine).load(wrong)
    assert not machine.writes
    assert not any(machine.memory)


def test_a_run_keeps_its_program() -> None:
    machine = Machine()
    machine.states = [State.RUNNING]
    driver = driver_of(machine)
    busy = "a machine that is RUNNING takes no other program"
    with pytest.raises(GossamerError, match=busy):
        driver.load(program_of())
    with pytest.raises(GossamerError, match=busy):
        driver.point(0, 1, 1 << 16, 0)
    assert not machine.writes
    assert not any(machine.memory)


def test_memory_that_others_write() -> None:
    """The registers are those that ``load`` sets."""
    loaded, pointed, program = Machine(), Machine(), program_of()
    driver_of(loaded).load(program, memory_bytes=1 << 33, watchdog_cycles=7)
    driver = Driver(pointed, None)
    driver.point(program_base(program), len(program.stages), 1 << 33, 7)
    assert pointed.writes == loaded.writes
    with pytest.raises(GossamerError, match="without a memory"):
        driver.load(program)


def test_check() -> None:
    machine = Machine()
    driver = Driver(machine, machine)
    machine.registers[offset("ROWS")] = 8
    machine.registers[offset("CHUNKS")] = 1
    with pytest.raises(GossamerError, match=r"no build of 'wide-4x4': ROWS is 0x8, not 0x4; CHUNKS is 0x1, not 0x2$"):
        driver.check(TINY)


def test_a_program_is_loaded_where_its_build_was_found() -> None:
    """And a check that fails forgets what an earlier one has found."""
    machine, small = Machine(), load_architecture("small-8x8")
    driver, compiled = Driver(machine, machine), "program 'p' was compiled for 'wide-4x4', and the machine "
    with pytest.raises(GossamerError, match=f"{compiled}has not been checked$"):
        driver.load(program_of())
    machine.registers |= {offset(name): value for name, value in identification(small).items()}
    driver.check(small)
    with pytest.raises(GossamerError, match=f"{compiled}is a build of 'small-8x8'$"):
        driver.load(program_of())
    with pytest.raises(GossamerError, match="no build of 'wide-4x4'"):
        driver.check(TINY)
    with pytest.raises(GossamerError, match=f"{compiled}has not been checked$"):
        driver.load(program_of())
    assert not machine.writes
    assert not any(machine.memory)


def test_a_run_has_a_watchdog() -> None:
    machine = Machine()
    driver_of(machine).load(program_of())
    assert machine.registers[offset("WATCHDOG")] == 0xFFFFFFFF


def build_of(architecture: Architecture) -> Machine:
    machine = Machine()
    machine.registers |= {offset(name): value for name, value in identification(architecture).items()}
    return machine


def test_builds_that_no_other_register_tells_apart() -> None:
    """Another adder, multiplier or number of chunks has a register; a render engine and its lanes do not."""
    rendering = load_architecture("render-8x8")
    assert rendering.render is not None
    others = [rendering.render.model_copy(update={name: 2}) for name in ("candidate_lanes", "exp_units", "kept")]
    for render in (None, *others):
        machine = build_of(rendering.model_copy(update={"render": render}))
        with pytest.raises(GossamerError, match=r": FINGERPRINT is 0x\w+, not 0x\w+ \(it differs in .*\brender\b"):
            Driver(machine, machine).check(rendering)
    for name in ("chunks", "multiply_latency_cycles"):
        array = TINY.array.model_copy(update={name: 5})
        machine = build_of(TINY.model_copy(update={"array": array}))
        with pytest.raises(GossamerError, match=rf"wide-4x4': {name.upper()} is 0x5, not 0x.; FINGERPRINT is 0x"):
            Driver(machine, machine).check(TINY)
    machine = build_of(TINY.model_copy(update={"memory": TINY.memory.model_copy(update={"latency_cycles": 9})}))
    Driver(machine, machine).check(TINY)


@pytest.mark.parametrize("floating", [0xFFFFFFFF, 0])
def test_nobody_answers(floating: int) -> None:
    class Dead(Machine):
        def read32(self, offset_bytes: int) -> int:
            return floating

    machine = Dead()
    driver = Driver(machine, machine)
    nobody = "^no machine answers on this bus: "
    with pytest.raises(GossamerError, match=f"{nobody}MAGIC is {floating:#x}, not 0x47534d52$"):
        driver.check(TINY)
    if not floating:
        return
    for call in (driver.status, driver.start, driver.wait, driver.soft_reset):
        with pytest.raises(GossamerError, match=f"{nobody}STATUS reads 0xffffffff"):
            call()
    with pytest.raises(GossamerError, match=f"{nobody}FAULT reads 0xffffffff"):
        driver.fault()


def test_numbers_that_are_none() -> None:
    machine = Machine()
    for value, name in ((9, "CODE"), (1 | 7 << 8, "ENGINE")):
        machine.registers[offset("FAULT")] = value
        with pytest.raises(GossamerError, match=f"no machine answers .*: FAULT reads {value:#x}, whose {name}"):
            Driver(machine, machine).fault()


@pytest.mark.parametrize(
    ("name", "value", "most"),
    [
        ("base", 1 << 40, (1 << 40) - 1),
        ("base", -64, (1 << 40) - 1),
        ("stages", 1 << 32, (1 << 32) - 1),
        ("memory_bytes", 1 << 40, (1 << 40) - 1),
        ("watchdog_cycles", -1, (1 << 32) - 1),
        ("watchdog_cycles", 1.5, (1 << 32) - 1),
        ("watchdog_cycles", True, (1 << 32) - 1),
    ],
)
def test_values_that_fit_no_register(name: str, value: int, most: int) -> None:
    machine = Machine()
    values = {"base": 0, "stages": 1, "memory_bytes": 1 << 20, "watchdog_cycles": 0, name: value}
    message = rf"^`{name}` must be an integer from 0 to {most}, not {value}$"
    with pytest.raises(GossamerError, match=message):
        Driver(machine, None).point(**values)
    if name in ("memory_bytes", "watchdog_cycles"):
        with pytest.raises(GossamerError, match=message):
            driver_of(machine).load(program_of(), **{name: value})
    assert not machine.writes
    assert not any(machine.memory)


def test_no_run_to_wait_for() -> None:
    machine = Machine()
    with pytest.raises(GossamerError, match=r"^no run to wait for: none has been started since the reset$"):
        Driver(machine, machine).wait()


def test_wait_and_status() -> None:
    machine = Machine()
    driver = Driver(machine, machine)
    machine.states = [State.RUNNING, State.RUNNING, State.DONE]
    status = driver.wait()
    assert status.state is State.DONE
    assert status.busy == {Engine.LOAD, Engine.GEMM}
    assert status.pending == {Engine.VECTOR}
    assert driver.fault() is None
    machine.states = [State.RUNNING]
    with pytest.raises(GossamerError, match=r"the run did not end within 0\.01 s"):
        driver.wait(timeout_seconds=0.01)
    machine.states = [State.IDLE]
    driver.soft_reset()
    driver.stop()
    assert machine.writes == [(offset("CONTROL"), 4), (offset("CONTROL"), 2)]


def test_fault() -> None:
    machine = Machine()
    driver = Driver(machine, machine)
    machine.states = [State.ERROR]
    machine.registers |= {offset("FAULT"): 6 | 1 << 8, offset("FAULT_INDEX"): 12, offset("STAGE"): 3}
    with pytest.raises(GossamerError, match=r"^DECODE_ERROR found by LOAD in stage 3, instruction 12$"):
        driver.wait()
    assert driver.fault() == FaultReport(Fault.DECODE_ERROR, Engine.LOAD, 3, 12)
    machine.registers[offset("FAULT_INDEX")] = 0xFFFF
    with pytest.raises(GossamerError, match=r"in stage 3, header or fetch$"):
        driver.wait()
    with pytest.raises(GossamerError, match="a machine that is ERROR cannot start"):
        driver.start()


def test_counters_of_more_than_32_bits() -> None:
    """A carry between the two reads does not tear the value."""
    halves = iter([0, 0xFFFFFFFF, 1, 5, 1])

    class Counting(Machine):
        def read32(self, offset_bytes: int) -> int:
            return next(halves)

    machine = Counting()
    assert Driver(machine, machine).cycles() == (1 << 32) + 5


def test_counters() -> None:
    machine = Machine()
    for place, name in enumerate(("CYCLES", "BUSY_LOAD", "BUSY_STORE", "BUSY_GEMM", "BUSY_PRUNE", "BUSY_VECTOR")):
        machine.registers |= {offset(f"{name}_LOW"): place + 1, offset(f"{name}_HIGH"): place}
    machine.registers |= {offset("STAGES_DONE"): 7, offset("EXECUTED"): 70}
    counters = Driver(machine, machine).counters()
    assert (counters.cycles, counters.stages, counters.executed) == (1, 7, 70)
    assert counters.busy_cycles[Engine.VECTOR] == 5 << 32 | 6


def test_a_bus_that_waits_needs_the_other_driver() -> None:
    class Waits:
        def __await__(self):  # type: ignore[no-untyped-def]
            yield

    class Bus:
        async def read32(self, offset_bytes: int) -> int:
            await Waits()
            return 0

        async def write32(self, offset_bytes: int, value: int) -> None:
            await Waits()

    machine = Machine()
    driver = Driver(machine, machine)
    driver._driver = AsyncDriver(Bus(), machine)
    with pytest.raises(GossamerError, match="a bus of plain calls must answer at once"):
        driver.cycles()
