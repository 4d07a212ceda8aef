"""The whole machine in Verilator, as verification asks for it."""

from gossamer.verify_file import MachineRun, MachineStoppedError
from gossamer_hw.cosim.program import Behaviour, run_programs
from gossamer_models.architecture import Architecture
from gossamer_models.program import Program
from gossamer_models.registers import State

__all__ = ["run_machine"]


def run_machine(program: Program, architecture: Architecture, memory: str, seed: int) -> MachineRun:
    """Run a filled Program behind a memory in HDL; its image stays as it is.

    Parameters
    ----------
    seed : of ``scripted``.

    Raises
    ------
    MachineStoppedError
        The machine ended in its error state.
    """
    run = run_programs([program], architecture, [Behaviour(memory, seed)])[0]
    job = run.job
    if job.state != State.DONE:
        raise MachineStoppedError(
            f"the machine in RTL stopped with {job.fault.name} in stage {job.fault_stage}, instruction "
            f"{job.fault_index} ({job.fault_engine.name})"
        )
    return MachineRun(run.image, run.stage_cycles)
