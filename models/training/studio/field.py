"""A sampled signed distance field of the body, so that hair can lie on it and clothes around it."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

LOW = np.array([-27.0, -34.0, -17.0])
HIGH = np.array([27.0, 23.0, 19.0])
STEP = 0.6


@dataclass(frozen=True)
class BodyField:
    """Distance in cm on a grid from LOW to HIGH, positive outside; queries are trilinear."""

    distances: np.ndarray
    gradients: np.ndarray

    def distance(self, points: np.ndarray) -> np.ndarray:
        return map_coordinates(self.distances, ((points - LOW) / STEP).T, order=1, mode="nearest")

    def gradient(self, points: np.ndarray) -> np.ndarray:
        at = ((points - LOW) / STEP).T
        g = np.stack([map_coordinates(self.gradients[k], at, order=1, mode="nearest") for k in range(3)], 1)
        return g / (np.linalg.norm(g, axis=1, keepdims=True) + 1e-9)


def grid_points() -> tuple[np.ndarray, tuple[int, int, int]]:
    axes = [np.arange(LOW[k], HIGH[k], STEP) for k in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    return grid.reshape(-1, 3), grid.shape[:3]


def point_distance(points: np.ndarray, surface: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Signed distance from points to an oriented, densely sampled surface."""
    reach, index = cKDTree(surface).query(points)
    side = ((points - surface[index]) * normals[index]).sum(1)
    return np.where(side > 0, reach, -reach)


def body_field(surface: np.ndarray, normals: np.ndarray) -> BodyField:
    points, shape = grid_points()
    distances = point_distance(points, surface, normals)
    # The bust is open below: far from its surface down there nothing is known to be inside.
    distances = np.where((points[:, 1] < -13.0) & (distances < -2.5), -distances, distances)
    return from_distances(distances.reshape(shape))


def union(field: BodyField, surface: np.ndarray, normals: np.ndarray) -> BodyField:
    """The field with another surface added, for instance clothes over the body.

    Clothes are open at the neck, so the sign of their distance means something only near them.
    """
    points, shape = grid_points()
    added = point_distance(points, surface, normals).reshape(shape)
    added = np.where(np.abs(added) > 4.0, np.abs(added), added)
    return from_distances(np.minimum(field.distances, added))


def from_distances(distances: np.ndarray) -> BodyField:
    smooth = gaussian_filter(distances, 0.8)
    return BodyField(distances, np.stack(np.gradient(smooth, STEP)))
