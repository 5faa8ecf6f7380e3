"""Loss curves as a picture, drawn with OpenCV alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

COLOURS = ((180, 60, 40), (40, 120, 200), (60, 160, 60), (150, 60, 160))


def draw_curves(history: list[dict[str, float]], path: Path, title: str) -> None:
    """Each loss over samples, on its own logarithmic scale, one panel each."""
    names = [name for name in (history[-1] if history else {}) if name not in ("step", "spent")]
    panel, width = 150, 720
    picture = np.full((40 + panel * max(1, len(names)), width, 3), 255, np.uint8)
    cv2.putText(picture, title, (12, 26), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA)
    for i, name in enumerate(names):
        rows = [row for row in history if name in row]
        values = np.log10(np.maximum([row[name] + (6 if name == "spread" else 0) for row in rows], 1e-5))
        steps = np.array([row["step"] for row in rows], float)
        top, bottom = 40 + i * panel + 12, 40 + (i + 1) * panel - 22
        low, high = values.min(), max(values.max(), values.min() + 0.1)
        x = 90 + steps / max(history[-1]["step"], 1) * (width - 110)
        y = bottom - (values - low) / (high - low) * (bottom - top)
        cv2.polylines(picture, [np.stack([x, y], 1).astype(np.int32)], False, COLOURS[i % 4], 1, cv2.LINE_AA)
        cv2.rectangle(picture, (90, top), (width - 20, bottom), (200, 200, 200), 1)
        for value, at in ((high, top + 8), (low, bottom)):
            cv2.putText(picture, f"{10**value:.4g}", (12, int(at)), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (90, 90, 90), 1, cv2.LINE_AA)
        cv2.putText(picture, name + (" + 6" if name == "spread" else ""), (96, top + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, COLOURS[i % 4], 1, cv2.LINE_AA)
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
