"""Files of pictures."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from gossamer_reports.render import write_gif


def test_every_picture_of_a_turn_is_a_frame(tmp_path: Path) -> None:
    """Equal ones too; each has its own colours."""
    rng = np.random.default_rng(0)
    white = np.ones((16, 16, 3), np.float32)
    pictures = [white, white, *(rng.integers(0, 256, (2, 16, 16, 3)) / 255).astype(np.float32), white * 0, white * 0]
    write_gif(tmp_path / "a.gif", pictures)
    with Image.open(tmp_path / "a.gif") as turn:
        frames = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(turn)]
        assert turn.info["loop"] == 0
    assert [pause for _, pause in frames] == [660] * 6
    for (found, _), wanted in zip(frames, pictures, strict=True):
        assert np.abs(found / 255 - wanted).max() < 0.2
        assert np.abs(found / 255 - wanted).mean() < 0.02
