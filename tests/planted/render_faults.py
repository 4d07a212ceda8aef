"""Planted bugs of the radiance fields: both pipelines share their places and their arithmetic."""

from tests.planted.fault import Fault

__all__ = ["RENDER_FAULTS"]

_RENDER = "models/gossamer_models/render"
_PICTURE = "tests/compiler/test_render.py::test_the_picture_has_the_renderers_bits[outside-None-dense]"
_AGAINST_FLOAT64 = "tests/models/render/test_renderer.py::test_against_float64"

RENDER_FAULTS = (
    Fault(
        "the corners above and beside a point change places, in both pipelines",
        f"{_RENDER}/interpolate.py",
        "((near, near), (far, near), (near, far), (far, far))",
        "((near, near), (near, far), (far, near), (far, far))",
        _AGAINST_FLOAT64,
    ),
    Fault(
        "samples lie at k steps, not at k and a half, in both pipelines",
        f"{_RENDER}/lattice.py",
        "k.astype(np.float32) + np.float32(0.5)",
        "k.astype(np.float32)",
        _AGAINST_FLOAT64,
    ),
    Fault(
        "the ball of a cube is a little too small",
        f"{_RENDER}/ball.py",
        "radius = _HALF * float(np.linalg.norm(sides)) + 48",
        "radius = 0.98 * _HALF * float(np.linalg.norm(sides)) - 48",
        "tests/models/render/test_renderer.py::test_the_corners_of_cubes_are_inside_their_balls",
    ),
    Fault(
        "the way past a ball is taken from squares that cancel",
        f"{_RENDER}/ball.py",
        "((x * x + y * y) + z * z)",
        "(((c[0] * c[0] + c[1] * c[1]) + c[2] * c[2]) - along * along)",
        "tests/models/render/test_ball.py::test_every_sample_of_a_cube_is_in_range[0.5-100]",
    ),
    Fault(
        "the root of a ball's rectangle is the smaller bound everywhere",
        f"{_RENDER}/projection.py",
        "np.where(np.float32(2) * less > more, np.float32(0.5), np.float32(0.25))",
        "np.float32(0.25)",
        "tests/models/render/test_projection.py::test_every_pixel_of_a_ball[1]",
    ),
    Fault(
        "a row's coordinates have a bit too few where there are a power of two",
        f"{_RENDER}/encoding.py",
        "max(1, (self.components - 1).bit_length())",
        "max(1, (self.components - 1).bit_length() - 1)",
        "tests/models/render/test_encoding.py::test_sizes_by_hand",
    ),
    Fault(
        "cubes of a block are swept towards the eye",
        f"{_RENDER}/tiles.py",
        "keys.append(2 * np.abs(away) + (away < 0))",
        "keys.append(-2 * np.abs(away) + (away < 0))",
        "tests/sim/test_render.py::test_counts_are_those_of_the_rendered_picture",
    ),
    Fault(
        "deferred shading forgets that a pixel may be covered in part, in both pipelines",
        f"{_RENDER}/composite.py",
        "return np.float32(1) - self.transmittance[pixels]",
        "return np.ones_like(self.transmittance[pixels])",
        _AGAINST_FLOAT64,
    ),
    Fault(
        "an N:M network's entries are those of its neighbours in the word",
        f"{_RENDER}/shade.py",
        "np.ascontiguousarray(entries.index.transpose(by_word))",
        "np.ascontiguousarray(entries.index.transpose(by_word)) ^ 1",
        "tests/models/render/test_renderer.py::test_features_have_the_array_s_bits",
    ),
    Fault(
        "a file may have more entries in a group than its N:M",
        f"{_RENDER}/matrix_file.py",
        "    if over:",
        "    if over < 0:",
        "tests/models/render/test_field_file.py::test_tampered_entries_are_one_line",
    ),
    Fault(
        "a network's time is that of dense weights, whatever the field says",
        "models/gossamer_models/timing/shade.py",
        "self._product(samples, inputs, outputs, layer.pattern)",
        "self._product(samples, inputs, outputs, Pattern(8, 8))",
        "tests/sim/test_render.py::test_what_a_field_says_of_its_matrices_is_timed",
    ),
    Fault(
        "a basis that there is none of hides the waves of a tile's first pixels",
        "sim/gossamer_sim/render.py",
        "self._shade.pixel_encoding(part, before)",
        "self._shade.encoding(part)",
        "tests/sim/test_render.py::test_the_first_pixels_of_a_tile_wait_for_their_waves",
    ),
    Fault(
        "a cube enters the projector before the one so many before it has left",
        "models/gossamer_models/timing/render.py",
        "left[begin - lag_cubes : begin - lag_cubes + count] if begin",
        "np.zeros(count, dtype=np.int64) if begin",
        "tests/sim/test_render.py::test_flow_against_a_walk",
    ),
    Fault(
        "a search takes the lower half where the query is the middle",
        "hw/gossamer_hw/render/trees.py",
        "(query >= key[:-1])",
        "(query > key[:-1])",
        "tests/hw/render/test_trees.py::test_searches",
    ),
    Fault(
        "leaves that meet first hold neighbours, not coordinates half a list apart",
        "hw/gossamer_hw/render/trees.py",
        "[::-1], 2) for leaf in range(slots)]",
        ", 2) for leaf in range(slots)]",
        "tests/hw/render/test_trees.py::test_searches",
    ),
    Fault(
        "a node adds the operand that it should not pass on",
        "hw/gossamer_hw/numerics/adder.py",
        "far | self.select",
        "far",
        "tests/hw/render/test_trees.py::test_sums_and_searches_change_places_every_cycle",
    ),
    Fault(
        "what becomes zero loses its sign on the short way through fp16",
        "models/gossamer_models/numerics/formats.py",
        "np.bitwise_and(pattern, _SIGN, out=sign)",
        "np.bitwise_and(pattern, np.uint32(0), out=sign)",
        "tests/models/numerics/test_formats.py::test_through_fp16_is_the_round_trip",
    ),
    Fault(
        "a finer field's cubes are judged without the texels of their far walls",
        f"{_RENDER}/refine.py",
        "(place[:-1] // cubes, -(-place[1:] // cubes) + 1)",
        "(place[:-1] // cubes, -(-place[1:] // cubes))",
        "tests/models/render/test_refine.py::test_occupied_cubes_one_by_one",
    ),
    Fault(
        "rows are counted for the cell before a point's",
        f"{_RENDER}/fetches.py",
        "np.roll(along, -1, axis=-1)",
        "np.roll(along, 1, axis=-1)",
        "tests/models/render/test_fetches.py::test_rows_one_by_one",
    ),
    Fault(
        "one batch is held where another one is filled",
        "models/gossamer_models/timing/render_fit.py",
        "rows * (_HALVES * widths[0] + max",
        "rows * (widths[0] + max",
        "tests/models/timing/test_render_fit.py::test_two_batches_and_the_widest_layer_are_held",
    ),
    Fault(
        "a block's patches end a texel early",
        f"{_RENDER}/engine/patches.py",
        "np.clip(np.floor(end * size + _SLACK), 0, highest).astype(np.int64) + 1",
        "np.clip(np.floor(end * size + _SLACK), 0, highest).astype(np.int64)",
        "tests/models/render/engine/test_patches.py::test_patches_hold_what_samples_of_their_block_read",
    ),
    Fault(
        "blocks are swept back to front",
        "compiler/gossamer_compiler/render.py",
        "        for place in blocks:",
        "        for place in blocks[::-1]:",
        _PICTURE,
    ),
    Fault(
        "the list of a part of samples is that of the part before",
        "compiler/gossamer_compiler/emit_render.py",
        "(samples.listed.address + _LIST_BYTES * first, self._aligned(size * count)",
        "(samples.listed.address, self._aligned(size * count)",
        _PICTURE,
    ),
    Fault(
        "the last layer of a picture's network is clipped like the others",
        "compiler/gossamer_compiler/render.py",
        "relu = biases is not None and not final",
        "relu = biases is not None",
        _PICTURE,
    ),
    Fault(
        "a machine knows a stage whose sweeps had other counts",
        "sim/gossamer_sim/executor.py",
        "self._key(unplaced(stage.instructions)), recorded",
        "self._key(unplaced(stage.instructions)), ()",
        "tests/sim/test_places.py::test_sweeps_of_other_counts_cost_their_own",
    ),
    Fault(
        "a sample that waits for its pixel holds back nobody else",
        "models/gossamer_models/timing/render.py",
        "waited = max(waited, free.get(pixel, 0) - arrival)",
        "waited = max(0, free.get(pixel, 0) - arrival)",
        "tests/hw/render/test_sweep.py::test_waits_by_hand",
    ),
)
