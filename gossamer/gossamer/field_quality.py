"""How well a field shows what it was not fitted to."""

from dataclasses import dataclass

import numpy as np

from gossamer_models.numerics.formats import Float32
from gossamer_models.render.camera import Camera
from gossamer_models.render.field import Field
from gossamer_models.render.raycast import cast
from gossamer_models.render.renderer import Settings, render
from gossamer_models.render.scene import unseen_cameras
from gossamer_models.render.shapes import scene
from gossamer_models.render.views import Views
from gossamer_reports.quality import psnr_db

__all__ = ["HELD_OUT", "HeldOut"]

HELD_OUT = (0, 2, 5, 7)
"""Which of the poses around a procedural scene are looked at: low and high, from all sides."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Cameras with the pictures that they should see, on white.

    Parameters
    ----------
    cameras : list of Camera
    pictures : list of arrays of float32, shape (height, width, 3)
    """

    cameras: list[Camera]
    pictures: list[Float32]

    @classmethod
    def of_scene(cls, name: str, size: int) -> "HeldOut":
        """Render pictures of a procedural scene, `size` pixels wide and high."""
        cameras = [unseen_cameras(size)[view] for view in HELD_OUT]
        images = np.stack([cast(scene(name), camera) for camera in cameras])
        views = Views(images, np.stack([camera.pose for camera in cameras]), cameras[0].focal)
        return cls.of_views(views)

    @classmethod
    def of_views(cls, views: Views) -> "HeldOut":
        """Take all of some posed images."""
        return cls([views.camera(number) for number in range(len(views.images))], list(views.over(1.0)))

    def render(self, field: Field) -> list[Float32]:
        """Return what the cameras see of a field: in the machine's arithmetic, by cubes, with early termination."""
        return [render(field, camera, "sweep", Settings(exact=False)).image for camera in self.cameras]

    def psnr_db(self, images: list[Float32]) -> list[float]:
        """Return the PSNR of every image."""
        return [psnr_db(image, picture) for image, picture in zip(images, self.pictures, strict=True)]
