"""What ``make fuzz`` runs: random Programs in Verilator for some minutes; a failure is shrunk and saved.

python -m tests.system.fuzz MINUTES [SEED]
"""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gossamer_hw.cosim.program import Behaviour
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.program import Program
from tests.system.random_programs import random_programs
from tests.system.rtl_programs import alternating, disagreements, disagrees
from tests.system.shrink import Differs, save, save_shrunk

__all__ = ["fuzz", "main", "replay"]

_log = logging.getLogger("gossamer.fuzz")
_BATCH = 100

Compare = Callable[[Sequence[Program], Architecture, Sequence[Behaviour]], dict[int, str]]


def fuzz(
    minutes: float,
    seed: int,
    architecture: Architecture,
    folder: Path,
    *,
    compare: Compare = disagreements,
    question: Callable[[Architecture, Behaviour], Differs] = disagrees,
) -> Path | None:
    """Compare batches of Programs until the time is up; return the Program of the first failure, or None.

    Parameters
    ----------
    seed : of the first Program; the others follow.
    folder : takes the Program, shrunk if it fails alone: only then can it be replayed.
    """
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        programs, behaviours = random_programs(_BATCH, seed, architecture), alternating(_BATCH)
        for place, text in compare(programs, architecture, behaviours).items():
            _log.error("%s, memory %s: %s", programs[place].name, behaviours[place], text)
            folder.mkdir(parents=True, exist_ok=True)
            differs = question(architecture, behaviours[place])
            if differs(programs[place]):
                path = save_shrunk(programs[place], architecture, differs, folder)
                _log.error("replay it with: %s", replay(path, behaviours[place]))
                return path
            path = save(programs[place], architecture, folder)
            _log.error("alone it agrees: what ran before it matters. It is saved whole, %s", path)
            _log.error("run it behind the others again with: python -m tests.system.fuzz 1 %d", seed)
            return path
        seed += _BATCH
        _log.warning("%d Programs agree, next seed %d", _BATCH, seed)
    return None


def replay(path: Path, behaviour: Behaviour) -> str:
    """Command that runs a saved Program alone, behind the same memory."""
    return f"gossamer verify {path} --memory {behaviour.memory} --seed {behaviour.seed}"


def main(arguments: Sequence[str]) -> int:
    """Return 1 if a Program failed."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    minutes = float(arguments[0]) if arguments else 10.0
    seed = int(arguments[1]) if len(arguments) > 1 else time.time_ns() % (1 << 31)
    _log.warning("random Programs from seed %d on, for %g minutes", seed, minutes)
    return int(fuzz(minutes, seed, load_architecture("wide-4x4"), Path("out") / "fuzz") is not None)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
