"""Simulations that are elaborated once and run many times: elaboration is most of a short test's time."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from amaranth.sim import Simulator

__all__ = ["Rig", "Role"]

Role = Callable[[Any], Awaitable[None]]
"""What a testbench or process does, given its context."""


class Rig:
    """A component between testbenches and processes that change from run to run; every run begins with a reset.

    Parameters
    ----------
    dut : component with a clock.

    Members
    -------
    dut : it.
    """

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self._roles: list[Role] = []
        self._simulator: Simulator | None = None

    def run(self, testbench: Role, *, background: Sequence[Role] = (), processes: Sequence[Role] = ()) -> None:
        """Simulate until the testbench ends; there are as many of the others in each run."""
        self._roles = [testbench, *processes, *background]
        if self._simulator is None:
            self._simulator = self._elaborate(len(processes))
        else:
            self._simulator.reset()
        self._simulator.run()

    def _elaborate(self, processes: int) -> Simulator:
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self._part(0))
        for number in range(1, 1 + processes):
            simulator.add_process(self._part(number))
        for number in range(1 + processes, len(self._roles)):
            simulator.add_testbench(self._part(number), background=True)
        return simulator

    def _part(self, number: int) -> Role:
        async def play(ctx: Any) -> None:
            await self._roles[number](ctx)

        return play
