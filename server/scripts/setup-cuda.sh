#!/usr/bin/env bash
# npm run setup:cuda – puts ONNX Runtime's CUDA provider beside the library that onnxruntime-node ships.
# The provider is not on npm; PyPI's onnxruntime-gpu wheel of the same version holds it. Needs python3 with pip, Linux x64,
# and on the host NVIDIA's driver, CUDA and cuDNN of the versions the wheel is built for.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ "$(uname -sm)" = "Linux x86_64" ] || { echo "setup:cuda: only Linux x86_64 is supported, this is $(uname -sm)" >&2; exit 1; }
version=$(node -p "require('onnxruntime-node/package.json').version")
target=$(echo node_modules/onnxruntime-node/bin/napi-v*/linux/x64)
[ -f "$target/libonnxruntime.so.1" ] || { echo "setup:cuda: $target has no libonnxruntime.so.1: run npm install first" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "downloading onnxruntime-gpu $version (about 250 MB)"
python3 -m pip download -q --no-deps --only-binary=:all: -d "$work" "onnxruntime-gpu==$version"
python3 - "$work" "$target" <<'PY'
import pathlib, sys, zipfile
work, target = map(pathlib.Path, sys.argv[1:])
with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
    for name in ("libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"):
        (target / name).write_bytes(wheel.read(f"onnxruntime/capi/{name}"))
PY
echo "installed the CUDA provider in $target"
missing=$(ldd "$target/libonnxruntime_providers_cuda.so" | awk '/not found/ {print "  " $1}')
# cuDNN is opened when it is first needed, so ldd does not know of it.
python3 -c 'import ctypes; ctypes.CDLL("libcudnn.so.9")' 2>/dev/null || missing+="${missing:+$'\n'}  libcudnn.so.9"
if [ -n "$missing" ]; then
  printf 'it needs libraries that this machine does not have yet:\n%s\n' "$missing"
  echo "install NVIDIA's driver, CUDA and cuDNN of these versions, then: FACEWIRE_DEVICE=cuda npm start"
  exit 1
fi
echo "now: FACEWIRE_DEVICE=cuda npm start"
