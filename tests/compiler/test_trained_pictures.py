"""Pictures of 32 x 32 pixels of a small trained field, per sample and deferred, its network dense and 2:8.

The fields `glossy-32` are the scene `glossy` at 32^3 texels with a network 150-32-32-3:
``python -m gossamer.scenes glossy --side 32 --cubes 16 --components 8 16 --hidden 32 32 --network 2:8 --both --size 64
--effort 2 --sparsity 0.8``. ``make render-rtl`` renders the same Programs in Verilator.
"""

from pathlib import Path

import numpy as np
import pytest

from gossamer.render_rtl import FIELDS, picture_machine, plan_picture, reference, shipped_subject
from gossamer_compiler.render import PICTURE
from gossamer_models import host
from gossamer_models.golden import executor
from gossamer_models.render.renderer import Settings, render
from gossamer_models.render.scene import shipped_field, unseen_cameras
from gossamer_reports.quality import psnr_db
from gossamer_reports.render import write_png
from gossamer_sim.executor import simulate

SIDE = 32
KEPT = Path("out/pictures")
SMALL = picture_machine()
# What the fields reach at this pose and size; the picture is of a field, not of noise.
LEAST_DB = 24.0


@pytest.mark.slow
@pytest.mark.parametrize("name", FIELDS)
def test_picture(name: str) -> None:
    field = shipped_field(name)
    assert [layer.weights.shape for layer in field.shader.layers] == [(32, 150), (32, 32), (3, 32)]
    assert ("deferred" in name) == (field.shading == "deferred") == ("deferred" in FIELDS[name])
    assert ("2of8" in name) == (not field.shader.layers[0].pattern.is_dense) == ("2:8" in FIELDS[name])
    program = plan_picture(shipped_subject(name), SMALL).program
    executor.run(program, SMALL)
    found, wanted = host.read(program, PICTURE), render(field, unseen_cameras(SIDE)[0], "sweep", Settings()).image
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))
    for memory in ("ideal", "scripted"):
        short, long = (simulate(program, SMALL, memory=memory, periodic=way) for way in (True, False))
        assert [stage.cycles for stage in short.stages] == [stage.cycles for stage in long.stages]
    KEPT.mkdir(parents=True, exist_ok=True)
    write_png(KEPT / f"{name}.png", found)
    assert psnr_db(found, reference()) > LEAST_DB
