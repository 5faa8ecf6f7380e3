"""Shading as it is measured in the portrait."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ort = pytest.importorskip("onnxruntime")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from heads.look import harmonics  # noqa: E402
from portrait.layout import HARMONICS, G  # noqa: E402
from portrait.shading import BLACK, fit_shading, solve  # noqa: E402
from warp.graph import Graph  # noqa: E402


def run(build, ranks: list[int], **arrays: np.ndarray) -> list[np.ndarray]:
    """What build(g, **values) returns, values of these ranks, run by ONNX Runtime."""
    g = Graph("test")
    made = build(g, **{n: g.input(n, "float32", list(v.shape)) for n, v in arrays.items()})
    for i, (value, rank) in enumerate(zip(made, ranks, strict=True)):
        g.output(value, f"out{i}", "float32", [f"{i}.{k}" for k in range(rank)])
    return ort.InferenceSession(g.model("test").SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {n: v.astype(np.float32) for n, v in arrays.items()})


def test_equations_are_solved():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 9)), rng.normal(size=(9, 3))
    a = a.T @ a
    (x,) = run(lambda g, a, b: [solve(g, a, b, 9)], [2], a=a, b=b)
    assert np.allclose(x, np.linalg.solve(a, b), rtol=1e-2, atol=1e-3)


def test_skin_tells_how_it_shades_and_hair_and_lips_do_not_disturb():
    rng = np.random.default_rng(1)
    y, x = np.meshgrid(np.linspace(-0.9, 0.9, G), np.linspace(-0.9, 0.9, G), indexing="ij")
    normal = np.stack([x, y, -np.sqrt(np.maximum(2 - x * x - y * y, 0.1))])
    normal /= np.linalg.norm(normal, axis=0)
    basis = harmonics(normal.reshape(3, -1).T).T  # [9,n]
    true = np.zeros((HARMONICS, 3))
    true[1], true[2], true[4] = (0.15, 0.12, 0.1), (-0.1, -0.1, -0.1), (0.03, 0.02, 0.01)
    cheeks, shaded = np.array([0.6, 0.45, 0.35]), (basis.T @ true).T.reshape(3, G, G)
    colour = (cheeks[:, None, None] + BLACK) * np.exp(shaded) - BLACK
    colour[:, 40:48, 24:40] *= np.array([1.1, 0.75, 0.8])[:, None, None]  # lips
    colour[:, :12] = 0.1 * rng.random((3, 12, G))  # hair
    glow = np.zeros((1, 3, G, G))
    shading, skin = run(
        lambda g, **v: fit_shading(g, **v), [2, 4], colour=colour[None], cheeks=cheeks, normal=normal[None], harmonics=basis, glow=glow, cover=np.ones((1, 1, G, G)),
    )
    assert skin[0, 0, 30, 32] > 0.95 and skin[0, 0, :12].max() < 0.1
    seen = basis.T.reshape(G, G, HARMONICS)[12:].reshape(-1, HARMONICS)
    change = lambda c: (seen @ c) - (seen @ c).mean(0)  # noqa: E731
    # The ridge takes some off, STRENGTH puts it back on.
    assert np.abs(change(shading) - change(true)).mean() < 0.2 * np.abs(change(true)).mean()
    # What the light that was read explains is not explained twice.
    beyond, _ = run(
        lambda g, **v: fit_shading(g, **v), [2, 4], colour=colour[None], cheeks=cheeks, normal=normal[None], harmonics=basis, glow=shaded[None], cover=np.ones((1, 1, G, G)),
    )
    assert np.abs(change(beyond)).max() < 0.1 * np.abs(change(shading)).max()


def test_a_picture_without_skin_has_no_shading():
    rng = np.random.default_rng(2)
    normal = np.zeros((1, 3, G, G))
    normal[:, 2] = -1
    shading, skin = run(
        lambda g, **v: fit_shading(g, **v), [2, 4], colour=rng.random((1, 3, G, G)), cheeks=np.full(3, 0.5), normal=normal,
        harmonics=harmonics(normal.reshape(3, -1).T).T, glow=np.zeros((1, 3, G, G)), cover=np.zeros((1, 1, G, G)),
    )
    assert np.abs(shading).max() < 1e-4 and skin.max() == 0
