import { expect, it } from 'vitest';
import { machineName } from './machineName.ts';

it('tells GPUs apart that have one name for CUDA under other settings; the CPU knows nothing of those', async () => {
  const settings = [
    {},
    { CUDA_VISIBLE_DEVICES: '0,1' },
    { CUDA_VISIBLE_DEVICES: '1,0' },
    { CUDA_VISIBLE_DEVICES: '' },
    { CUDA_VISIBLE_DEVICES: '0,1', CUDA_DEVICE_ORDER: 'PCI_BUS_ID' },
  ];
  const names = await Promise.all(settings.map((env) => machineName('cuda', env)));
  expect(new Set(names).size).toBe(settings.length);
  expect(names[0]).toBe(await machineName('cuda', { HOME: '/root' }));
  const processors = await Promise.all(settings.map((env) => machineName('cpu', env)));
  expect(new Set(processors).size).toBe(1);
});
