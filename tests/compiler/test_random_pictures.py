"""Random fields by random cameras as Programs: golden has the renderer's bits, the simulator one time."""

import numpy as np
import pytest
from hypothesis import given, settings

from gossamer_compiler.render import PICTURE
from gossamer_models import host
from gossamer_models.golden import executor
from gossamer_models.render.renderer import render
from gossamer_sim.executor import simulate
from tests.compiler.random_pictures import EXAMPLES, Picture, pictures
from tests.compiler.test_render import machine, read_bytes

TINY = machine(tile=8, block=4, grid=16, patch=16, kept=1 << 14)


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(picture=pictures())
def test_executors_agree(picture: Picture) -> None:
    program = picture.compile(TINY)
    executor.run(program, TINY)
    found = host.read(program, PICTURE)
    expected = render(picture.field(TINY), picture.camera, "sweep", picture.settings).image
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
    short, long = (simulate(program, TINY, memory="scripted", periodic=way) for way in (True, False))
    assert [stage.cycles for stage in short.stages] == [stage.cycles for stage in long.stages]
    assert [stage.bytes_read for stage in short.stages] == read_bytes(program)
