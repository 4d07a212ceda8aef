"""Fields just fitted to real posed images, from DRAM to DRAM in Verilator, on the machine of other pictures."""

import pytest

from gossamer.rtl_runs import holding
from gossamer_compiler.render import PICTURE, compile_picture
from gossamer_hw.cosim.program import run_programs
from gossamer_models import host
from gossamer_models.grouping import DENSE
from gossamer_models.render.field import Field
from gossamer_models.render.renderer import Settings
from gossamer_models.render.views import Views, load_views
from gossamer_models.sparsity import Pattern
from gossamer_reports.quality import psnr_db
from tests.real_views import lego
from tests.system.render_pictures import MACHINE
from tests.system.rtl_programs import alternating, compare

pytestmark = pytest.mark.slow

# Lattice samples of a block's pixels must have room in so small an engine: small cubes and few pixels.
SIDE, CUBES, PIXELS = 8, 10, 8
EVERY = 8  # picture of those to fit to
# A white picture has 10.8 dB, the fields 18.8 and 18.9.
LEAST_DB = 15.0


def fitted(views: Views) -> tuple[Field, ...]:
    """Fields per sample with 2:8 and deferred with a dense network, of about eighty iterations: seconds."""
    torch = pytest.importorskip("torch", reason="PyTorch is the optional extra `torch`")
    # Threads that wait for each other cost more than such small tensors.
    torch.set_num_threads(1)
    from gossamer.field_fit import FitSettings, fit
    from gossamer.field_model import Shape

    density, appearance = MACHINE.render_engine.components
    settings = FitSettings(
        (SIDE,), (60,), 10, 128, CUBES, sparsity=0.5, network_tuning=10,
        shape=Shape(density, appearance, features=5, hidden=(8,)),
        networks=(("per-sample", Pattern(2, 8)), ("deferred", DENSE)),
    )  # fmt: skip
    some = Views(views.images[::EVERY], views.poses[::EVERY], views.focal)
    return fit(some, "lego", (-1.25,) * 3, (1.25,) * 3, settings, lambda _: None).tuned


def test_a_real_scene() -> None:
    """Behind both memories; each picture is like the real one of a pose that no field was fitted to."""
    folder = lego()
    fields, unseen = fitted(load_views(folder)), load_views(folder, "test", view=0)
    (picture,) = unseen.over(1.0)
    height, width = (side // PIXELS for side in picture.shape[:2])
    wanted = picture.reshape(PIXELS, height, PIXELS, width, 3).mean(axis=(1, 3))
    camera = unseen.camera(0).resized(PIXELS, PIXELS)
    programs = [compile_picture(field, camera, Settings(), MACHINE) for field in fields]
    behaviours = alternating(len(programs))
    runs = run_programs(programs, MACHINE, behaviours)
    for program, found, behaviour in zip(programs, runs, behaviours, strict=True):
        assert not compare(program, MACHINE, found, behaviour)
        assert psnr_db(host.read(holding(program, found.image), PICTURE), wanted) > LEAST_DB
