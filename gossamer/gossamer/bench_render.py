"""How fast golden renders, beside PyTorch on the same field."""

import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Final

import numpy as np

from gossamer.bench_record import Measurement

__all__ = ["renderers"]

_COMMAND: Final = "make bench PARTS=renderers"
_SCENE: Final = "solid"
_SIZE: Final = 200
_REPEATS: Final = 2
_RAYS: Final = 2048


def renderers() -> Iterator[Measurement]:
    """Time golden's baseline renderer and PyTorch's in turn: CPU seconds, one thread of PyTorch, best of two."""
    from gossamer_models.render.arithmetic import Arithmetic
    from gossamer_models.render.renderer import Settings, render
    from gossamer_models.render.scene import load_scene

    if find_spec("torch") is None:
        yield Measurement("golden beside PyTorch", "not measured: PyTorch is missing", "", _COMMAND)
        return
    import torch

    from gossamer.field_model import TorchField

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

    def ours(arithmetic: Arithmetic) -> None:
        render(field, camera, "uniform", Settings(exact=False, arithmetic=arithmetic))

    runs: dict[str, Callable[[], None]] = {
        "PyTorch": theirs,
        "float32": lambda: ours(Arithmetic.SINGLE),
        "the machine's arithmetic": lambda: ours(Arithmetic.MACHINE),
    }
    seconds = dict.fromkeys(runs, float("inf"))
    for _ in range(_REPEATS):
        for name, run in runs.items():
            begin = time.process_time()
            run()
            seconds[name] = min(seconds[name], time.process_time() - begin)
    for name, target in (("float32", "at least 1"), ("the machine's arithmetic", "")):
        yield Measurement(
            f"field `{_SCENE}`, {_SIZE}x{_SIZE}: PyTorch's time over golden's, uniform sampling in {name}",
            f"{seconds['PyTorch'] / seconds[name]:.2f} ({seconds['PyTorch']:.2f} s, {seconds[name]:.2f} s)",
            target,
            _COMMAND,
        )
