"""The whole machine in Verilator, as verification asks for it."""

from gossamer.verify_file import BrokenRuleError, MachineRun, MachineStoppedError
from gossamer_hw.cosim.program import Behaviour, run_programs
from gossamer_hw.memory.checker import Rule
from gossamer_models.architecture import Architecture
from gossamer_models.program import Program
from gossamer_models.registers import State
from gossamer_models.timing.scripted import HASH_BITS

__all__ = ["run_machine"]


def run_machine(program: Program, architecture: Architecture, memory: str, seed: int) -> MachineRun:
    """Run a filled Program behind a memory in HDL; its image stays as it is.

    Parameters
    ----------
    seed : of ``scripted``, of any size.

    Raises
    ------
    BrokenRuleError
        The AXI port broke a rule.
    MachineStoppedError
        The machine ended in its error state.
    """
    # The bench has as many bits of a seed as the hash keeps: the simulator draws the same from all of them.
    run = run_programs([program], architecture, [Behaviour(memory, seed % (1 << HASH_BITS))])[0]
    job = run.job
    if job.state != State.DONE:
        raise MachineStoppedError(
            f"the machine in RTL stopped with {job.fault.name} in stage {job.fault_stage}, instruction "
            f"{job.fault_index} ({job.fault_engine.name})"
        )
    if job.violation:
        raise BrokenRuleError(f"the machine in RTL broke rules of AXI4: {Rule(job.violation).name}")
    return MachineRun(run.image, run.stage_cycles)
