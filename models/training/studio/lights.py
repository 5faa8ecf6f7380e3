"""Three soft boxes and a dim room."""

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class SoftBox:
    """A square lamp that faces `target`. azimuth 0 = from the camera, + = from the image's right; degrees; cm."""

    azimuth: float
    elevation: float
    size: float
    power: float
    colour: Colour = (1.0, 1.0, 1.0)
    distance: float = 120.0
    target: tuple[float, float, float] = (0.0, 0.0, 2.0)

    def origin(self) -> np.ndarray:
        a, e = np.radians(self.azimuth), np.radians(self.elevation)
        direction = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
        return np.array(self.target) + self.distance * direction


@dataclass(frozen=True)
class Lights:
    """room: radiance from everywhere; boxes: key, fill, rims. Power is irradiance at the face of a lamp seen head-on."""

    room: Colour
    boxes: tuple[SoftBox, ...]

    def mitsuba(self, mi) -> dict:
        scene = {"room": {"type": "constant", "radiance": {"type": "rgb", "value": list(self.room)}}}
        for index, box in enumerate(self.boxes):
            solid_angle = box.size**2 / box.distance**2
            radiance = [float(c * box.power / solid_angle) for c in box.colour]
            scene[f"box{index}"] = {
                "type": "rectangle",
                "to_world": mi.ScalarTransform4f()
                .look_at(origin=list(map(float, box.origin())), target=list(box.target), up=[0, 1, 0.001])
                .scale(box.size / 2),
                "bsdf": {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.0}},
                "emitter": {"type": "area", "radiance": {"type": "rgb", "value": radiance}},
            }
        return scene


def three_point(
    *,
    side: float = -1.0,
    key: float = 2.6,
    fill: float = 0.5,
    rim: float = 1.3,
    warmth: float = 0.0,
    rim_colour: Colour = (1.0, 1.0, 1.0),
    room: Colour = (0.22, 0.23, 0.26),
) -> Lights:
    """Classic portrait light. side −1: key from the image's left; warmth −1…1 tints key against fill."""
    key_colour = (1 + 0.12 * warmth, 1.0, 1 - 0.18 * warmth)
    fill_colour = (1 - 0.1 * warmth, 1.0, 1 + 0.12 * warmth)
    return Lights(
        room,
        (
            SoftBox(side * 34, 34, 70, key, key_colour),
            SoftBox(-side * 42, 8, 90, fill, fill_colour),
            SoftBox(-side * 140, 32, 60, rim, rim_colour),
            SoftBox(side * 150, 40, 50, rim * 0.6, rim_colour),
        ),
    )
