"""The timeline shows every engine's spans of every stage."""

from pathlib import Path

from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Dim, EndLoop, Load, Loop, Vector
from gossamer_models.program import MemoryImage, Program, StageProgram
from gossamer_reports.plots_timeline import timeline_figure
from gossamer_sim.executor import simulate


def test_bars_are_the_spans(tmp_path: Path) -> None:
    body = (Load(buffer=4, dims=(Dim(64, 2, 2),)), Vector(op=1, count=512))
    stages = (
        StageProgram("first", "ff", body),
        StageProgram("second", "update", (Loop(level=0, count=300), *body, EndLoop(level=0))),
    )
    program = Program("p", "wide-4x4", stages, MemoryImage())
    timing = simulate(program, load_architecture("wide-4x4"), memory="ideal", trace=True).stages
    figure = timeline_figure(timing, "title")
    first, second = figure.axes
    bars = [path.get_extents() for bars in first.collections for path in bars.get_paths()]
    assert sorted((round(b.x0), round(b.x1)) for b in bars) == sorted((s.start, s.end) for s in timing[0].spans)
    assert first.get_title(loc="left") == f"first, FF: {timing[0].cycles:,} cycles"
    hatched = [patch for patch in second.patches if patch.get_hatch()]
    assert len(hatched) == len(timing[1].skips) > 0
    figure.savefig(tmp_path / "timeline.png")
