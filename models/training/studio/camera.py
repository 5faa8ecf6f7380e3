"""Where the camera stands, and where points of the studio fall in its image."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A pinhole looking along −z at (0, target height). `width_cm`: what the image spans at the depth of the eyes."""

    size: int = 512
    height: float = -1.6
    distance: float = 150.0
    eye_depth: float = 8.6
    width_cm: float = 47.0

    @property
    def origin(self) -> tuple[float, float, float]:
        return (0.0, self.height, self.eye_depth + self.distance)

    @property
    def target(self) -> tuple[float, float, float]:
        return (0.0, self.height, 0.0)

    @property
    def fov_degrees(self) -> float:
        return float(np.degrees(2 * np.arctan(0.5 * self.width_cm / self.distance)))

    def project(self, points: np.ndarray) -> np.ndarray:
        """N×3 cm → N×2 pixels (x right, y down). The subject's left (+x) is at the image's right."""
        depth = self.origin[2] - points[:, 2]
        scale = self.size / self.width_cm * self.distance / depth
        x = self.size / 2 + points[:, 0] * scale
        y = self.size / 2 - (points[:, 1] - self.height) * scale
        return np.stack([x, y], 1)
