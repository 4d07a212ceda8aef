from pathlib import Path

import pytest

from gossamer_reports.drawing import Artist
from gossamer_reports.plots import PLOTS, save_plots
from gossamer_reports.result import Result, write_json


def test_a_process_of_its_own_draws_the_same_bytes(result: Result, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    write_json(drawn / "result.json", result)
    with Artist() as artist:
        artist.draw(drawn / "result.json")
        files = save_plots(result, tmp_path)
        artist.finish()
    assert [(drawn / file.name).read_bytes() for file in files] == [file.read_bytes() for file in files]


def test_a_plot_that_cannot_be_written_is_said(result: Result, tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", result)
    (tmp_path / "ledger.svg").mkdir()
    with Artist() as artist:
        artist.draw(tmp_path / "result.json")
        with pytest.raises(OSError, match="Is a directory"):
            artist.finish()


def test_it_draws_alone_where_no_copy_can_be_made(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\ndef fork(): raise BlockingIOError\nos.fork = fork\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    write_json(tmp_path / "result.json", result)
    with Artist() as artist:
        artist.draw(tmp_path / "result.json")
        artist.finish()
    assert {file.name for file in tmp_path.iterdir()} >= set(PLOTS)


def test_nothing_is_drawn_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Artist():
        raise ZeroDivisionError
    with Artist():
        pass
    assert not list(tmp_path.iterdir())


def test_an_artist_that_has_died_is_said(tmp_path: Path) -> None:
    artist = Artist()
    with artist:
        artist._process.kill()
        artist._process.wait()
        artist.draw(tmp_path / "result.json")
        with pytest.raises(OSError, match="has ended"):
            artist.finish()
