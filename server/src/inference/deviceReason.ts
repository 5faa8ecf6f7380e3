/** What is known about why a GPU does not open. */
const REMEDIES: readonly [RegExp, (match: RegExpExecArray) => string][] = [
  [
    /driver version is insufficient/i,
    () => "NVIDIA's driver is too old for CUDA 13: install 580 or newer (`nvidia-smi` shows what is there)",
  ],
  [
    /no CUDA-capable device/i,
    () => 'no NVIDIA GPU is visible: check `nvidia-smi` and CUDA_VISIBLE_DEVICES, and start containers with --gpus all',
  ],
  [/invalid device|device ordinal/i, () => 'name a GPU that `nvidia-smi` lists, counted from 0'],
  [
    /(lib[\w+-]+\.so[.\d]*): cannot open shared object/,
    ([, library]) =>
      library!.startsWith('libcuda.')
        ? "install NVIDIA's driver, 580 or newer: it brings libcuda.so.1"
        : `install CUDA 13 and cuDNN 9, of which ${library} is a part: \`npm run setup:cuda\` lists all that is missing`,
  ],
  [
    /out of memory|failed to allocate/i,
    () => 'lower FACEWIRE_BANK_MIB or end other programs that use the GPU, or use device cpu',
  ],
];

/** What to do about a device that does not open, by the message that says so. */
export function deviceRemedy(message: string): string {
  for (const [pattern, remedy] of REMEDIES) {
    const match = pattern.exec(message);
    if (match) return remedy(match);
  }
  return 'check the driver (and CUDA 13 with cuDNN 9 for cuda), or use device cpu or auto';
}

/** The part of ONNX Runtime's message that tells a user something: without its source files and signatures. */
export function deviceReason(message: string): string {
  const [, reason = message] = /^.*\[ONNXRuntimeError\] : \d+ : \w+ : (.*)$/s.exec(message) ?? [];
  return reason.split(' ; ')[0]!.trim();
}
