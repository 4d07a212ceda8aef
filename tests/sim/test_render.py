"""The render engine's time: closed forms against a walk cube by cube, ledger, conservation, what ideas may not do."""

import dataclasses

import numpy as np
import pytest

from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import DoesNotFitError, InputError
from gossamer_models.grouping import DENSE
from gossamer_models.render.camera import Camera, look_at
from gossamer_models.render.field import Dense
from gossamer_models.render.frame import Frame, count_frame
from gossamer_models.render.renderer import Settings, render
from gossamer_models.sparsity import Pattern
from gossamer_models.timing import render as timing
from gossamer_models.timing.shade import ShadeTiming, product_cycles
from gossamer_sim.render import PIXEL_BYTES, RenderRun, simulate_frame
from gossamer_sim.render_jobs import TileJobs, sweep_jobs, uniform_jobs
from tests.models.render.fields import random_field

FIELD = random_field(7, shift=-2.0)
EYE = np.array([2.5, -3.0, 1.5])
CAMERA = Camera(look_at(EYE, np.array([0.05, 0.1, 0.2])), 40, 30, 27)
SETTINGS = Settings(termination=0.1)


def machine(**changes: int) -> Architecture:
    base = load_architecture("nerf-1k")
    assert base.render is not None
    engine = base.render.model_copy(update={"tile": 16, "block": 4, "lag_cubes": 5, "batch": 256} | changes)
    return base.model_copy(update={"render": engine})


SMALL = machine()


def count(settings: Settings = SETTINGS, architecture: Architecture = SMALL) -> Frame:
    return count_frame(FIELD, CAMERA, settings, architecture.render_engine)


def run(
    tiles: list[TileJobs], frame: Frame, *, pattern: Pattern = DENSE, deferred: bool = False, fits: bool = True
) -> RenderRun:
    parts = frame.density_components, frame.appearance_components
    shade = ShadeTiming(SMALL, FIELD.shader.pruned(pattern))
    return simulate_frame(tiles, SMALL, shade, parts, frame.line_bytes, deferred=deferred, fits=fits)


@pytest.mark.parametrize("termination", [None, 0.1])
@pytest.mark.parametrize("eye", [(2.5, -3.0, 1.5), (0.1, 0.2, -0.1), (0.0, 0.0, 4.0)])
def test_counts_are_those_of_the_rendered_picture(eye: tuple[float, float, float], termination: float | None) -> None:
    camera = Camera(look_at(np.array(eye), np.array([0.05, 0.1, 0.2])), 30, 30, 27)
    chosen = Settings(termination=termination)
    frame = count_frame(FIELD, camera, chosen, SMALL.render_engine)
    sweep, uniform = (render(FIELD, camera, kind, chosen, fetches=True) for kind in ("sweep", "uniform"))
    assert frame.total("kept") == sweep.counts.samples > 500
    assert frame.total("shaded") == sweep.counts.shaded
    assert frame.total("uniform") == uniform.counts.occupancy_accesses
    assert frame.total("samples") == frame.total("row_samples") >= frame.total("kept")
    if termination is None:
        for name in ("candidates", "hits", "tests", "samples"):
            assert frame.total(name) == getattr(sweep.counts, name), name
        rows = [tile.density.bitmap_rows + tile.density.coordinate_rows for tile in frame.tiles]
        assert sweep.density is not None
        assert sum(rows) == sweep.density.bitmap_rows + sweep.density.coordinate_rows


def test_a_longer_lag_drops_more_samples() -> None:
    dropped = [
        frame.total("samples") - frame.total("kept")
        for frame in (count(architecture=machine(lag_cubes=lag)) for lag in (1, 8, 64))
    ]
    assert dropped[0] <= dropped[1] <= dropped[2]
    assert dropped[0] < dropped[2]


@pytest.mark.parametrize("lag", [1, 3, 64])
@pytest.mark.parametrize("seed", range(4))
def test_flow_against_a_walk(seed: int, lag: int) -> None:
    random = np.random.default_rng(seed)
    units = [random.integers(0, 40, 50) for _ in timing.STAGES]
    free = [0] * len(units)
    left: list[int] = []
    for cube in range(50):
        now = left[cube - lag] if cube >= lag else 0
        for unit, cycles in enumerate(units):
            now = free[unit] = max(now, free[unit]) + int(cycles[cube])
        left.append(now + timing.PIPELINE_CYCLES)
    assert timing.flow_cycles(units, lag) == left[-1], f"seed {seed}"


def test_units_by_hand() -> None:
    sizes = {"search_units": 36, "interpolation_lanes": 672, "exp_units": 6, "compositor_lanes": 2}
    engine = machine(candidate_lanes=32, sampler_lanes=32, **sizes).render_engine
    three = np.array([3])
    assert [int(c[0]) for c in timing.unit_cycles(engine, np.array([33]), np.array([64]), three, 16)] == [2, 2, 2, 2]
    assert timing.sample_cycles(engine, 2, 48) == 3
    assert timing.lane_cycles(engine, 2, 48) == 3
    # Rows of 9, 3 and 1 samples by two lanes: ceil(9 / 2), and twice the latency of a pixel's product.
    rows = timing.compositor_cycles(engine, 2, np.array([1, 1, 1]), np.array([9, 3, 1]))
    assert rows.tolist() == [0, 5 + 4 + 4]
    assert timing.job_start_cycles(engine, np.array([7])).tolist() == [1 + 7]


def test_products_by_hand() -> None:
    """128 samples fill 4 slots of 32 rows; 16 inputs are 16 entries, or 4 of 2:8, which drain in 32 steps."""
    array = SMALL.array
    fixed = product_cycles(array, 2048, 128, 1024, 32, Pattern(8, 8)) - 4 * 1024
    assert fixed == 218
    assert product_cycles(array, 2048, 128, 16, 32, Pattern(2, 8)) == 4 * 32 + fixed
    assert product_cycles(array, 128, 128, 1024, 64, Pattern(8, 8)) == 2 * (4 * 1024 + fixed)
    with pytest.raises(DoesNotFitError, match="accumulators"):
        product_cycles(array, 64, 128, 16, 32, Pattern(8, 8))


def test_what_a_field_says_of_its_matrices_is_timed() -> None:
    """Basis 5 x 18, layers 8 x 40 and 3 x 8: three, five and one words of eight, the last one of the basis with two."""
    biases = 4 * (8 + 3)
    dense, sparse, mixed = (
        ShadeTiming(SMALL, shader)
        for shader in (
            FIELD.shader,
            FIELD.shader.pruned(Pattern(2, 8)),
            FIELD.shader.pruned(Pattern(2, 4), basis=False),
        )
    )
    assert dense.weight_bytes == 3 * (5 * 18 + 8 * 40 + 3 * 8) + biases
    assert sparse.weight_bytes == 3 * (5 * (2 + 2 + 2) + 8 * 10 + 3 * 2) + biases
    assert mixed.weight_bytes == 3 * (5 * 18 + 8 * 20 + 3 * 4) + biases
    assert mixed.basis(256) == dense.basis(256)
    # 18 inputs are shorter than the drain of 32 rows; so are 8, and 40 as 10 or 20 entries.
    assert dense.network(256) > mixed.network(256) == sparse.network(256)


@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("sweep", [False, True])
def test_every_cycle_and_byte_is_accounted_for(sweep: bool, deferred: bool) -> None:
    frame = count()
    jobs = list((sweep_jobs if sweep else uniform_jobs)(frame, SMALL.render_engine, encoded=True))
    found = run(jobs, frame, deferred=deferred, fits=sweep)
    assert sum(found.ledger.values()) == found.cycles
    assert min(found.ledger.values()) >= 0
    weights = ShadeTiming(SMALL, FIELD.shader).weight_bytes
    assert found.load_bytes == sum(job.load_bytes for tile in jobs for job in tile.jobs) + frame.line_bytes + weights
    assert found.store_bytes == CAMERA.width * CAMERA.height * PIXEL_BYTES
    assert found.burst_bytes >= found.load_bytes + found.store_bytes
    assert found.shaded == frame.total("shaded")
    assert found.network == (sum(tile.shaded_pixels for tile in jobs) if deferred else found.shaded)
    assert max(found.busy.values()) <= found.cycles
    for batches, samples in ((found.basis_batches, found.shaded), (found.network_batches, found.network)):
        assert sum(size * times for size, times in batches.items()) == samples


def test_deferred_features_are_added_up_by_the_vector_engine() -> None:
    """Where its lanes are slower than the basis, they are what a batch takes."""
    frame = count()
    slow = SMALL.model_copy(update={"vector": SMALL.vector.model_copy(update={"lanes": 8})})
    samples, features = 256, FIELD.shader.features
    fast, late = (ShadeTiming(machine, FIELD.shader) for machine in (SMALL, slow))
    assert (fast.sums(samples), late.sums(samples)) == (256 * features // 64, 256 * features // 8)
    assert fast.sums(samples) < fast.basis(samples)
    jobs = list(sweep_jobs(frame, SMALL.render_engine, encoded=True))
    parts = frame.density_components, frame.appearance_components
    each, one = (
        [
            simulate_frame(jobs, SMALL, dataclasses.replace(fast, architecture=machine), parts, frame.line_bytes,
                           deferred=deferred)
            for machine in (SMALL, SMALL.model_copy(update={"vector": SMALL.vector.model_copy(update={"lanes": 1})}))
        ]
        for deferred in (False, True)
    )  # fmt: skip
    assert each[0] == each[1]
    assert (each[0].summed, one[0].summed) == (0, one[0].shaded)
    assert one[1].cycles > one[0].cycles


def test_no_idea_costs_time_by_construction() -> None:
    """Of the same counts: fewer bytes, fewer entries, later never shorter."""
    frame = count()
    encoded, dense = (list(sweep_jobs(frame, SMALL.render_engine, encoded=kind)) for kind in (True, False))
    assert run(encoded, frame, pattern=Pattern(2, 8)).cycles <= run(encoded, frame).cycles
    assert run(encoded, frame).load_bytes < run(dense, frame).load_bytes
    slower = [
        TileJobs(
            tile.pixels,
            tile.shaded_pixels,
            tuple(dataclasses.replace(job, flow=job.flow + 10) for job in tile.jobs),
        )
        for tile in encoded
    ]
    assert run(slower, frame).cycles >= run(encoded, frame).cycles


def test_the_array_never_rests_between_batches() -> None:
    """One job of six batches: the array is slower, so it never rests between the first batch and the last."""
    frame = count()
    batch = SMALL.render_engine.batch
    job = dataclasses.replace(next(sweep_jobs(frame, SMALL.render_engine, encoded=True)).jobs[0], shaded=6 * batch)
    found = run([TileJobs(1, 1, (job,))], frame)
    shade = ShadeTiming(SMALL, FIELD.shader)
    basis, rest = shade.basis(batch), shade.encoding(batch) + shade.network(batch)
    fetch = timing.sample_cycles(SMALL.render_engine, batch, frame.appearance_components)
    assert basis + rest > fetch
    # The queue's last half is filled once the fourth batch's basis is done; then two networks and a basis are left.
    before = found.ledger["sync"] + found.ledger["dram"] + found.ledger["sweep"] + found.ledger["setup"]
    tail = 6 * (basis + rest) + 1
    assert found.cycles == before + job.flow + fetch + tail


def test_the_first_pixels_of_a_tile_wait_for_their_waves() -> None:
    """No basis hides them; those of the pixels behind are hidden by the network, once its first layer is done."""
    frame = count()
    batch = SMALL.render_engine.batch
    shade = ShadeTiming(SMALL, FIELD.shader)
    job = dataclasses.replace(next(sweep_jobs(frame, SMALL.render_engine, encoded=True)).jobs[0], shaded=0)
    one, three, none = (run([TileJobs(1, pixels, (job,))], frame, deferred=True) for pixels in (batch, 3 * batch, 0))
    waves = timing.rate_cycles(batch * shade.waves_per_sample, SMALL.render_engine.sine_units)
    assert waves > shade.encoding(batch)
    assert one.ledger["mlp"] - none.ledger["mlp"] == waves + shade.network(batch) + 1
    assert three.cycles - one.cycles == 2 * shade.network(batch)
    one_layer = (Dense(np.zeros((3, 40), np.float32), np.zeros(3, np.float32)),)
    shallow = dataclasses.replace(shade, shader=dataclasses.replace(shade.shader, layers=one_layer))
    parts = frame.density_components, frame.appearance_components
    first, both = (
        simulate_frame([TileJobs(1, pixels, (job,))], SMALL, shallow, parts, frame.line_bytes, deferred=True).cycles
        for pixels in (batch, 2 * batch)
    )
    assert both - first == waves + shallow.first_layer(batch)


def test_pixels_whose_rays_have_ended_fill_the_rests_of_the_array() -> None:
    """Two jobs with a batch of samples each; behind the first one, a batch of pixels is finished and the array rests.

    So its network is hidden by the flow of the second job, which no longer waits for it at the end.
    """
    frame = count()
    batch = SMALL.render_engine.batch
    shade = ShadeTiming(SMALL, FIELD.shader)
    job = dataclasses.replace(next(sweep_jobs(frame, SMALL.render_engine, encoded=True)).jobs[0], shaded=batch)
    network = shade.network(batch)
    long = dataclasses.replace(job, flow=job.flow + 4 * network)

    def cycles(finished: int) -> RenderRun:
        jobs = (dataclasses.replace(job, finished=finished), long, long)
        return run([TileJobs(1, 2 * batch, jobs)], frame, deferred=True)

    late, none, early = (cycles(number) for number in (0, batch - 1, batch))
    assert late.cycles == none.cycles == early.cycles + network
    assert early.network == late.network == 2 * batch
    # The last of their samples come with the second job's batch: there is no rest behind it.
    first, second = dataclasses.replace(job, shaded=batch - 1), dataclasses.replace(long, shaded=1)
    some, nothing = (
        run([TileJobs(1, 2 * batch, (dataclasses.replace(first, finished=number), second))], frame, deferred=True)
        for number in (batch, 0)
    )
    assert some.cycles == nothing.cycles


def test_finished_pixels_are_those_whose_ray_ended_behind_a_shaded_sample() -> None:
    ended, whole = count(), count(Settings(termination=None))
    shaded = [tile.counts.shaded_pixels for tile in ended.tiles]
    finished = [int(tile.counts.finished.sum()) for tile in ended.tiles]
    assert all(some <= most for some, most in zip(finished, shaded, strict=True))
    assert whole.total("finished") == 0 < ended.total("finished")
    dark = render(FIELD, CAMERA, "sweep", SETTINGS).transmittance < np.float32(0.1)
    assert ended.total("finished") == np.count_nonzero(dark)


def test_a_sample_s_path_is_the_units() -> None:
    """Projector, ball, lattice; encoded factors of 16 components, tree and sums, softplus, light; compositor."""
    opacity = 36 + 10 + 16 + 3 * 4 + 107 + 4 + 56
    assert 79 + 61 + 18 + opacity + 6 == timing.PIPELINE_CYCLES


def test_what_does_not_fit_is_refused() -> None:
    frame = count()
    jobs = list(sweep_jobs(frame, SMALL.render_engine, encoded=True))
    large = [TileJobs(1, 0, (dataclasses.replace(jobs[0].jobs[0], load_bytes=1 << 20),))]
    with pytest.raises(DoesNotFitError, match="do not fit a quarter of their buffer"):
        run(large, frame)
    with pytest.raises(DoesNotFitError, match="table of patches: needs 27 patches, has 26"):
        count(architecture=machine(patch_table=26))
    with pytest.raises(InputError, match="no render engine"):
        load_architecture("wide-4x4").render_engine  # noqa: B018


@pytest.mark.parametrize(("name", "multiply_adds"), [("nerf-1k", 1024), ("rtnerf-edge", 4096)])
def test_render_machines_keep_their_bounds(name: str, multiply_adds: int) -> None:
    found = load_architecture(name)
    assert found.array.macs_per_cycle == multiply_adds
    assert found.clock_hz == 1_000_000_000
    if name == "nerf-1k":
        assert sum(found.on_chip_bytes().values()) <= 4 << 20


def test_a_tile_begins_when_the_half_that_it_takes_is_stored() -> None:
    """The third of three tiles takes the first one's half; its long set-up cannot hide the first one's store."""
    frame = count()
    empty, last = TileJobs(4096, 0, ()), TileJobs(1 << 20, 0, ())
    alone, behind = (run([*[empty] * number, last], frame) for number in (0, 2))
    assert alone.ledger["setup"] > run([empty], frame).cycles
    store = run([empty, empty], frame).busy["dram"] - run([empty], frame).busy["dram"]
    assert behind.cycles - alone.cycles >= store > 3 * (behind.ledger["setup"] - alone.ledger["setup"])
