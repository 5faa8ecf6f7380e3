/** `npm run bench -- NAME [--json] [options]`: the last line printed is the result as one JSON object. */
const BENCHES: Record<string, () => Promise<{ run(args: string[]): Promise<object> }>> = {
  bank: () => import('./bank.ts'),
  cluster: () => import('./cluster.ts'),
  codec: () => import('./codec.ts'),
  density: () => import('./density.ts'),
  encode: () => import('./encode.ts'),
  landmarks: () => import('./landmarks.ts'),
  latency: () => import('./latency.ts'),
  receive: () => import('./receive.ts'),
  render: () => import('./render.ts'),
  scaling: () => import('./scaling.ts'),
  scheduler: () => import('./scheduler.ts'),
};

const [name, ...args] = process.argv.slice(2);
const load = name === undefined ? undefined : BENCHES[name];
if (load === undefined) {
  console.error(`usage: npm run bench -- ${Object.keys(BENCHES).join('|')} [--json]; received ${name ?? 'no name'}`);
  process.exit(2);
}
const json = args.includes('--json');
const result = await (await load()).run(args.filter((each) => each !== '--json'));
console.log(json ? JSON.stringify(result) : JSON.stringify(result, null, 2));
process.exit(0);

export {};
