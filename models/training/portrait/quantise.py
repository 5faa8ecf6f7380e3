"""Adds faster variants to a built package: int8 renderers for the CPU, float16 renderers for GPUs.

    cd models/training && python -m portrait.quantise --package ../portrait

Needs onnx, onnxruntime, numpy and pillow; takes one to three minutes, and runs again on a newly built package or on one that it
made. For every renderer of the manifest it makes renderer-N.int8.onnx and renderer-N.float16.onnx, puts the numbers that the
graphs share into renderers.data, updates the manifest, and prints sizes, speed and the difference from float32. A variant under
MINIMUM_PSNR is left out.

int8: convolutions are calibrated on the built-in portraits, driven by synthetic motions, and get 8-bit inputs, weights and
outputs (QDQ, which ONNX Runtime makes into QLinearConv); which ones, and why not the others, is in quantise_int8.py. Geometry,
sampling, softmax and heads stay in float32. float16: see quantise_float16.py.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from portrait.quantise_float16 import to_float16
from portrait.quantise_int8 import chosen_convolutions, ranges_of, to_int8
from portrait.quantise_share import DATA, load_whole, write_shared
from warp.run import Package, read_portrait, stack

ROOT = Path(__file__).resolve().parents[3]
MOTIONS = 4  # of every portrait, for calibration; as many others for the comparison
BATCH = 4
MINIMUM_PSNR = 38.0  # dB between a variant's pictures and the float32 ones
CAREFUL_PSNR = 46.0  # under this int8 leaves alone all that flows are made of


def driven(avatars: int, seed: int, count: int = MOTIONS) -> list[dict[str, np.ndarray]]:
    """Runs of BATCH rows {slots [B], motion [B,58], view [B,2]}: every avatar with `count` motions, from mild to strong."""
    rng = np.random.default_rng(seed)
    total = avatars * count
    pose = rng.normal(size=(total, 6)) * [0.15, 0.3, 0.12, 0.05, 0.05, 0.05]
    pose[:, :3] = pose[:, :3].clip(-0.6, 0.6)
    # Few coefficients move at once, as on faces.
    expression = rng.beta(1.2, 2.0, (total, 52)) * (rng.random((total, 52)) < rng.uniform(0.05, 0.4, (total, 1)))
    motion = np.concatenate([pose, expression], 1).astype(np.float32)
    view = (rng.normal(size=(total, 2)) * [0.25, 0.1] * (rng.random((total, 1)) < 0.5)).clip(-0.6, 0.6).astype(np.float32)
    slots = rng.permutation(np.repeat(np.arange(avatars), count))
    return [{"slots": slots[i : i + BATCH], "motion": motion[i : i + BATCH], "view": view[i : i + BATCH]} for i in range(0, total, BATCH)]


def session(model: onnx.ModelProto, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def feeds(opened: ort.InferenceSession, bank: dict[str, np.ndarray], runs: list[dict]) -> list[dict[str, np.ndarray]]:
    held = {i.name: bank[i.name[5:]] for i in opened.get_inputs() if i.name.startswith("bank.")}
    return [held | run for run in runs]


def pictures(opened: ort.InferenceSession, bank: dict[str, np.ndarray], runs: list[dict]) -> np.ndarray:
    return np.concatenate([opened.run(["rgb"], feed)[0] for feed in feeds(opened, bank, runs)])


def milliseconds(sessions: dict[str, ort.InferenceSession], bank: dict[str, np.ndarray], run: dict, seconds: float = 1.5) -> dict[str, float]:
    """Best time of one picture for each session, taking turns, since other work comes and goes."""
    one = {k: v[:1] for k, v in run.items()}
    best = dict.fromkeys(sessions, float("inf"))
    end = time.perf_counter() + seconds * len(sessions)
    while time.perf_counter() < end:
        for name, opened in sessions.items():
            feed = feeds(opened, bank, [one])[0]
            began = time.perf_counter()
            opened.run(["i420"], feed)
            best[name] = min(best[name], (time.perf_counter() - began) * 1000)
    return best


def variants(source: onnx.ModelProto, precision: str, calibration: list[dict[str, np.ndarray]]) -> Iterator[onnx.ModelProto]:
    """What to try, the fastest first."""
    if precision == "float16":
        yield to_float16(source)
        return
    for careful in (False, True):
        if chosen := chosen_convolutions(source, careful):
            yield to_int8(source, chosen, ranges_of(source, chosen, calibration))


def psnr(difference: np.ndarray) -> float:
    """dB of differences of uint8 samples."""
    return float(10 * np.log10(255**2 / max(1e-9, np.mean(np.square(difference, dtype=np.float64)))))


def quantise(package: Path, portraits: Path, precisions: tuple[str, ...], threads: int = 1) -> Iterator[dict]:
    """Makes the variants, one report for each, and at the end writes graphs, shared data and manifest."""
    manifest = json.loads((package / "manifest.json").read_text())
    images = sorted(portraits.glob("*.jpg"))
    if not images:
        raise SystemExit(f"no portraits in {portraits}: give a folder of .jpg with landmarks in .json beside them (--portraits)")
    encoder = Package(package, threads)
    bank = stack([encoder.encode(*read_portrait(image)) for image in images])
    calibration, comparison = driven(len(images), seed=1), driven(len(images), seed=2)
    models: dict[str, onnx.ModelProto] = {}
    dropped: list[str] = []
    for entry in (e for e in manifest["files"] if e["role"] == "renderer"):
        source = load_whole(package / entry["file"])
        models[entry["file"]] = source
        plain = session(source, threads)
        expected = pictures(plain, bank, comparison)
        entry["variants"] = []
        for precision in precisions:
            file, quality = f"{Path(entry['file']).stem}.{precision}.onnx", -np.inf
            for model in variants(source, precision, feeds(plain, bank, calibration)):
                opened = session(model, threads)
                difference = np.abs(pictures(opened, bank, comparison).astype(np.int16) - expected)
                quality = psnr(difference)
                if quality >= CAREFUL_PSNR:
                    break
            if quality == -np.inf:
                dropped.append(file)
                yield {"file": file, "refused": "no convolution is worth it"}
                continue
            times = milliseconds({"float32": plain, precision: opened}, bank, comparison[0])
            report = {
                "file": file, "psnr": round(quality, 2), "meanDifference": round(float(difference.mean()), 4),
                "over16": round(float((difference > 16).mean()), 7), "ms": round(times[precision], 1), "float32Ms": round(times["float32"], 1),
            }
            if quality < MINIMUM_PSNR:
                dropped.append(file)
                report["refused"] = f"under {MINIMUM_PSNR} dB"
            else:
                models[file] = model
                entry["variants"].append({"precision": precision, "file": file})
            yield report
    hashes = write_shared(models, package)
    for file in dropped:
        (package / file).unlink(missing_ok=True)
    for entry in (e for e in manifest["files"] if e["role"] == "renderer"):
        for one in (entry, *entry["variants"]):
            one["sha256"] = hashes[one["file"]]
    manifest["data"] = [{"file": DATA, "sha256": hashes[DATA]}]
    part = package / "manifest.json.part"
    part.write_text(json.dumps(manifest, indent=1) + "\n")
    os.replace(part, package / "manifest.json")
    yield {"bytes": {name: (package / name).stat().st_size for name in hashes}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, default=ROOT / "models/portrait")
    parser.add_argument("--portraits", type=Path, default=ROOT / "models/portraits")
    parser.add_argument("--precisions", default="int8,float16")
    parser.add_argument("--threads", type=int, default=1, help="of the measurement")
    a = parser.parse_args()
    precisions = tuple(a.precisions.split(","))
    if unknown := set(precisions) - {"int8", "float16"}:
        parser.error(f"unknown precision {', '.join(sorted(unknown))}; use int8 and float16")
    for report in quantise(a.package, a.portraits, precisions, a.threads):
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
