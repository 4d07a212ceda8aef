"""Output folders: what stands in them stays."""

from pathlib import Path

from gossamer.folders import make_directory


def test_a_look_whether_it_can_be_written_leaves_no_trace(tmp_path: Path) -> None:
    for name in (".gossamer", "result.json"):
        (tmp_path / name).write_text("mine")
    make_directory(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {".gossamer": "mine", "result.json": "mine"}
