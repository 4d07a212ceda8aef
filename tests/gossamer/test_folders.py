"""Output folders: what stands in them stays."""

from pathlib import Path

from gossamer.folders import clear, make_directory


def test_a_look_whether_it_can_be_written_leaves_no_trace(tmp_path: Path) -> None:
    for name in (".gossamer", "result.json"):
        (tmp_path / name).write_text("mine")
    make_directory(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {".gossamer": "mine", "result.json": "mine"}


def test_files_of_an_earlier_run_go_and_nothing_else(tmp_path: Path) -> None:
    for name in ("orbit.gif", "mine.png"):
        (tmp_path / name).touch()
    (tmp_path / "result.json").symlink_to("nowhere")
    (tmp_path / "image.png").mkdir()
    clear(tmp_path, ("orbit.gif", "result.json", "image.png", "absent"))
    assert {path.name for path in tmp_path.iterdir()} == {"mine.png", "image.png"}
