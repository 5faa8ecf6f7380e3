"""Writes models/tracker/card.md from an evaluation and the checkpoints' counts.

    cd models/training && python -m tracker.evaluate --json /tmp/tracker.json && python -m tracker.card /tmp/tracker.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from tracker.evaluate import CONDITIONS, PARTS

TEXT = """# tracker {version}

Finds faces in a picture and tells 68 landmarks, head pose and ARKit's 52 coefficients of each, so that a portrait can be
uploaded without landmarks and a video can drive an avatar. Three small convolutional networks in a cascade, run on the CPU.

## How
1. *Detector* ({detector_gflop} GFLOP at 192x192, {detector_parameters} parameters): fully convolutional, one candidate per 8x8 pixels
   with score, middle, size and roll. Run on the picture squeezed into 192x192 and once more into 384x384 for small faces.
   It knows faces turned by up to about 60 degrees; where none is found surely, the picture is turned by quarters. CornerNet's
   focal loss.
2. *Landmark network* ({landmark_parameters} parameters) on a 128x128 crop turned upright: landmarks as expectations over
   a 32x32 grid (integral regression), the scale of a Laplace distribution around each, pose from features and landmark shape
   together, and whether this is a face at all. Run twice, the second time where the first look saw the face.
3. *Expression network* ({expression_parameters} parameters; with the landmark network, in one file, {landmark_gflop} GFLOP): looks
   closely at both eyes (one network, the left one in the mirror) and the mouth, once at the whole crop, and knows the
   landmarks' shape.

Input pictures are standardised inside the graphs (mean 0, deviation 1), so exposure hardly matters.

## Errors
Everything below comes from whole pictures: nothing about the face is known beforehand. Landmark errors are means in percent of
the distance between the outer corners of the eyes; the rows after the first are over a third of the frames. `python -m tracker.evaluate` measures them again.

{conditions}

Built-in portraits (path traced by another studio, never trained on; one face found in each):

{portraits}

Coefficients on test identities: mean absolute error {coefficient_error} (always saying the mean: {coefficient_mean}), root mean square {coefficient_rms}
({coefficient_deviation}). Correlation with the truth, mean {coefficient_correlation}:
{correlations}.

Faces found where there is none: {backgrounds} of {negatives} procedural backgrounds, {painted} of {negatives} heads whose face was painted over.

Time on this machine (ONNX Runtime CPU, two threads of a shared two-core Xeon, best of 15): detector {ms_detector} ms at 192,
landmark network {ms_landmarks} ms.

## Training
Data: up to {frames} frames of the synthetic heads of `models/training/heads` (ICT-FaceKit), no photograph. Heads are pasted over
procedural backgrounds, several to a picture, turned by up to 60 degrees; colours of skin, hair and clothes are changed one by one; light,
shadows, things in front, posters, ink and pencil, blur, noise, JPEG. Where a face is painted over, nothing may be found.
Detector {detector_samples} samples in {detector_seconds} s, landmark network {landmark_samples} samples in {landmark_seconds} s,
expression network {expression_samples} in {expression_seconds} s, one thread each of a shared two-core CPU, bfloat16. The expression network is
given half of its pictures as rendered, and landmarks as far off as the landmark network's; squared error.
That is minutes, not days: all losses still fell when the time was up (`*-curves.png` in `models/training/tracker/checkpoints`).
{note}
## Limits
{limits}

## Licence
MIT. No photographs and no third-party weights. The training heads are renders of ICT-FaceKit Light (MIT, see NOTICE).
"""


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--checkpoints", type=Path, default=Path("/tmp/facewire-tracker"))
    parser.add_argument("--package", type=Path, default=root / "tracker")
    parser.add_argument("--frames", type=int, required=True, help="frames of the training shards")
    parser.add_argument("--note", default="", help="a sentence on how this training went")
    parser.add_argument("--limits", type=Path, default=Path(__file__).parent / "limits.md")
    args = parser.parse_args()
    result = json.loads(args.evaluation.read_text())
    manifest = json.loads((args.package / "manifest.json").read_text())
    states = {name: torch.load(args.checkpoints / f"{name}.pt", map_location="cpu", weights_only=False) for name in ("detector", "landmarker", "expression")}
    parameters = {name: f"{sum(v.numel() for v in state['average'].values()) / 1e6:.2f} M" for name, state in states.items()}
    samples = {name: f"{state['step'] * state['config']['batch']:,}" for name, state in states.items()}
    tests = result["test identities"]
    head = [f"test identities, {tests['frames']} frames", "found", *PARTS, "median", "> 10 %", "pitch", "yaw", "roll"]
    rows = [
        [name, f"{tests[name]['found'] * 100:.1f} %", *(f"{v:.1f}" for v in tests[name]["nme"].values()), f"{tests[name]['median']:.1f}",
         f"{tests[name]['worse than 10'] * 100:.1f} %", *(f"{v:.1f}°" for v in tests[name]["degrees"].values())]
        for name in CONDITIONS
    ]
    portraits = {name: value for name, value in result["portraits"].items() if value}
    mean = [f"{sum(v[part] for v in portraits.values()) / len(portraits):.1f}" for part in PARTS]
    portrait_rows = [[name, *(f"{value[part]:.1f}" for part in PARTS)] for name, value in portraits.items()] + [["mean", *mean]]
    told = tests["coefficients"]
    best = ", ".join(f"{name} {value:.2f}" for name, value in sorted(told["correlation"].items(), key=lambda item: -item[1]))
    text = TEXT.format(
        version=manifest["version"], detector_gflop=manifest["files"][0]["gflop"], landmark_gflop=manifest["files"][1]["gflop"],
        detector_parameters=parameters["detector"], landmark_parameters=parameters["landmarker"], conditions=table(head, rows),
        portraits=table(["portrait", *PARTS], portrait_rows), coefficient_error=told["mean absolute error"],
        coefficient_mean=told["error of always saying the mean"], correlations=best, coefficient_rms=told["root mean square error"], coefficient_deviation=told["deviation of the truth"],
        coefficient_correlation=f"{sum(told['correlation'].values()) / len(told['correlation']):.2f}", backgrounds=result["no face"]["backgrounds"],
        painted=result["no face"]["heads without a face"], negatives=result["no face"]["pictures each"],
        ms_detector=result["ms"]["detector 192"], ms_landmarks=result["ms"]["landmarks 128"], frames=f"{args.frames:,}",
        detector_samples=samples["detector"], detector_seconds=round(states["detector"]["spent"]),
        landmark_samples=samples["landmarker"], landmark_seconds=round(states["landmarker"]["spent"]),
        expression_samples=samples["expression"], expression_seconds=round(states["expression"]["spent"]), expression_parameters=parameters["expression"],
        note=args.note + "\n" if args.note else "", limits=args.limits.read_text().strip(),
    )
    (args.package / "card.md").write_text(text)


if __name__ == "__main__":
    main()
