"""How fast golden renders, beside PyTorch on the same field."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Final

import numpy as np

from gossamer.bench_record import Measurement, MissingToolError

__all__ = ["renderers"]

_COMMAND: Final = "make bench PARTS=renderers"
_SCENE: Final = "solid"
_SIZE: Final = 200
_REPEATS: Final = 4
_RAYS: Final = 2048
_PYTORCH, _SINGLE, _MACHINE = "PyTorch", "float32", "the machine's arithmetic"
_ENDED, _ENDLESS = "rays end early", "no ray ends early, as in PyTorch"


def renderers() -> Iterator[Measurement]:
    """Time golden's baseline renderer and PyTorch's in turn: CPU seconds, one thread each, best of four.

    Raises
    ------
    MissingToolError
        PyTorch is missing.
    """
    if find_spec("torch") is None:
        raise MissingToolError("PyTorch is missing, the extra `torch`")
    # Libraries read how many threads they may have when they are loaded: those of two would wait for each other busily.
    one_thread = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "gossamer.bench_render"]
    seconds = json.loads(subprocess.run(command, env=one_thread, capture_output=True, text=True, check=True).stdout)
    theirs = seconds.pop(_PYTORCH)
    for name, ours in seconds.items():
        yield Measurement(
            f"field `{_SCENE}`, {_SIZE}x{_SIZE}: PyTorch's time over golden's, uniform sampling in {name}",
            f"{theirs / ours:.2f} ({theirs:.2f} s, {ours:.2f} s)",
            "at least 1",
            _COMMAND,
        )


def _measure() -> dict[str, float]:
    """Return the least CPU seconds that each renderer took."""
    import torch

    from gossamer.field_model import TorchField
    from gossamer_models.render.arithmetic import Arithmetic
    from gossamer_models.render.renderer import Settings, render
    from gossamer_models.render.scene import load_scene

    torch.set_num_threads(1)
    scene = load_scene(_SCENE)
    field, camera = scene.field, scene.camera.resized(_SIZE, _SIZE)
    model, occupancy = TorchField.of(field), torch.from_numpy(field.occupancy)
    views = torch.from_numpy(camera.directions().astype(np.float32)).split(_RAYS)
    eye = torch.from_numpy(camera.eye.astype(np.float32))

    def theirs() -> None:
        with torch.no_grad():
            for some in views:
                model.render(eye.expand(len(some), 3), some, occupancy)

    def ours(arithmetic: Arithmetic, termination: float | None) -> None:
        render(field, camera, "uniform", Settings(termination=termination, exact=False, arithmetic=arithmetic))

    runs: dict[str, Callable[[], None]] = {_PYTORCH: theirs} | {
        f"{name}, {how}": partial(ours, arithmetic, termination)
        for how, termination in ((_ENDED, Settings().termination), (_ENDLESS, None))
        for name, arithmetic in ((_SINGLE, Arithmetic.SINGLE), (_MACHINE, Arithmetic.MACHINE))
    }
    seconds = dict.fromkeys(runs, float("inf"))
    for _ in range(_REPEATS):
        for name, run in runs.items():
            begin = time.process_time()
            run()
            seconds[name] = min(seconds[name], time.process_time() - begin)
    return seconds


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure()))
