import { FacewireError } from '@facewire/proto';
import { describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';

describe('readConfig', () => {
  it('needs no setting at all', () => {
    const config = readConfig({});
    expect(config).toMatchObject({ host: '127.0.0.1', port: 8080, device: 'auto', demoRoom: 'lobby' });
  });

  it('takes settings from FACEWIRE_ variables', () => {
    expect(readConfig({ FACEWIRE_PORT: '0', FACEWIRE_DEVICE: 'cuda:1' })).toMatchObject({ port: 0, device: 'cuda:1' });
  });

  it('goes without a face tracker when that setting is empty or none', () => {
    expect(readConfig({ FACEWIRE_TRACKER: '' }).tracker).toBe('');
    expect(readConfig({ FACEWIRE_TRACKER: 'none' }).tracker).toBe('');
    expect(readConfig({ FACEWIRE_TRACKER: '/opt/tracker' }).tracker).toBe('/opt/tracker');
  });

  it('is alone unless it is told of a cluster', () => {
    expect(readConfig({})).toMatchObject({ cluster: '', clusterName: 'facewire' });
    const env = { FACEWIRE_CLUSTER: ' nats://10.0.0.1,nats://10.0.0.2 ', FACEWIRE_CLUSTER_NAME: 'eu-1' };
    expect(readConfig(env)).toMatchObject({ cluster: 'nats://10.0.0.1,nats://10.0.0.2', clusterName: 'eu-1' });
  });

  it.each([
    ['FACEWIRE_PORT', '70000'],
    ['FACEWIRE_CLUSTER_NAME', 'eu.west *'],
    ['FACEWIRE_PORT', 'eighty'],
    ['FACEWIRE_TICK_RATE', '29.5'],
    ['FACEWIRE_WEBSOCKET', 'http3'],
    ['FACEWIRE_PRECISION', 'fp8'],
    ['FACEWIRE_BANK_MIB', '-1'],
  ])('names the setting, the value and the remedy when %s is %s', (name, value) => {
    try {
      readConfig({ [name]: value });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(FacewireError);
      expect(error).toMatchObject({ code: 'config_invalid', received: value });
      expect((error as FacewireError).message).toContain(name);
    }
  });
});
