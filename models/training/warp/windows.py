"""Mouth and eyes, painted exactly in small windows of the frame."""

from __future__ import annotations

from graph import Graph, Value


def paint_windows(g: Graph, frame: Value, texture, coarse, avatar, part, expression, keypoints, mouth, size: int) -> Value:
    return frame
