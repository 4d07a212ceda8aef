"""Pictures of 32 x 32 pixels of a small trained field, per sample and deferred, its network dense and 2:8.

The fields in ``tests/fields`` are the scene `glossy` at 32^3 texels with a network 150-32-32-3:
``python -m gossamer.scenes glossy --side 32 --cubes 16 --components 8 16 --hidden 32 32 --network 2:8 --both --size 64
--effort 2 --sparsity 0.8``.
"""

from pathlib import Path

import numpy as np
import pytest

from gossamer_compiler.render import PICTURE, compile_picture
from gossamer_models import host
from gossamer_models.golden import executor
from gossamer_models.render.field_file import load_field
from gossamer_models.render.raycast import cast
from gossamer_models.render.renderer import Settings, render
from gossamer_models.render.scene import unseen_cameras
from gossamer_models.render.shapes import scene
from gossamer_reports.render import write_png
from gossamer_sim.executor import simulate
from tests.compiler.test_render import machine

SIDE = 32
FIELDS = Path(__file__).parents[1] / "fields"
KEPT = Path("out/pictures")
SMALL = machine(components=(8, 16), block=8, grid=32, patch=20)
# What the fields reach at this pose and size; the picture is of a field, not of noise.
LEAST_DB = 24.0


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["", "-2of8", "-deferred", "-deferred-2of8"])
def test_picture(variant: str) -> None:
    field = load_field(FIELDS / f"glossy-32{variant}.field")
    assert [layer.weights.shape for layer in field.shader.layers] == [(32, 150), (32, 32), (3, 32)]
    assert ("deferred" in variant) == (field.shading == "deferred")
    assert ("2of8" in variant) == (not field.shader.layers[0].pattern.is_dense)
    camera, settings = unseen_cameras(SIDE)[0], Settings()
    program = compile_picture(field, camera, settings, SMALL)
    executor.run(program, SMALL)
    found, wanted = host.read(program, PICTURE), render(field, camera, "sweep", settings).image
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))
    for memory in ("ideal", "scripted"):
        short, long = (simulate(program, SMALL, memory=memory, periodic=way) for way in (True, False))
        assert [stage.cycles for stage in short.stages] == [stage.cycles for stage in long.stages]
    KEPT.mkdir(parents=True, exist_ok=True)
    write_png(KEPT / f"glossy-32{variant}.png", found)
    seen = cast(scene("glossy"), camera)
    reference = seen[..., :3] * seen[..., 3:] + 1 - seen[..., 3:]
    assert -10 * np.log10(np.mean((found - reference) ** 2)) > LEAST_DB
