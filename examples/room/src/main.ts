import { AvatarClient } from '@facewire/client-sdk';
import { viewportHeight } from '@facewire/client-sdk/three';
import type { Motion } from '@facewire/proto';
import { ACESFilmicToneMapping, PCFShadowMap, PerspectiveCamera, Texture, Timer, WebGLRenderer } from 'three';
import { FirstPersonControls } from './controls.ts';
import { Gallery } from './Gallery.ts';
import { make } from './hud/dom.ts';
import { Header } from './hud/Header.ts';
import { StatsPanel, type StreamRow, type Totals } from './hud/StatsPanel.ts';
import { ViewPanel } from './hud/ViewPanel.ts';
import { PlayPanel } from './play/PlayPanel.ts';
import { adaptPixelRatio, chooseQuality, gpuName } from './quality.ts';
import { Room } from './scene/Room.ts';
import { isVrSupported, VrSession } from './vr/VrSession.ts';

/** The panels are refreshed so often, ms. */
const PANEL_INTERVAL_MS = 500;
/** Between attempts to join for the first time, ms. */
const CONNECT_AGAIN_MS = 3_000;
/** The resolution is reconsidered so often, ms. */
const ADAPT_INTERVAL_MS = 1_500;

const query = new URLSearchParams(location.search);
const roomName = query.get('room') || 'lobby';
const url = new URL('/connect', location.href);
url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
url.search = '';
url.hash = '';

// Canvas textures are painted once: the fonts have to be there by then.
await Promise.allSettled(
  ["300 40px 'Sora Variable'", "700 40px 'Sora Variable'", "500 40px 'Inter Variable'"].map((font) =>
    document.fonts.load(font),
  ),
);

const canvas = document.querySelector<HTMLCanvasElement>('#scene')!;
const quality = chooseQuality(gpuName(), query.get('quality'), devicePixelRatio);
const renderer = new WebGLRenderer({ canvas, antialias: quality.antialias, powerPreference: 'high-performance' });
Texture.DEFAULT_ANISOTROPY = quality.anisotropy;
renderer.toneMapping = ACESFilmicToneMapping;
renderer.toneMappingExposure = 1.12;
renderer.shadowMap.enabled = quality.shadows;
renderer.shadowMap.type = PCFShadowMap;
renderer.setPixelRatio(quality.pixelRatio);

const camera = new PerspectiveCamera(60, 1, 0.05, 60);
const room = new Room(renderer, quality);
const controls = new FirstPersonControls(camera, canvas, room.obstacles);

const client = new AvatarClient({ url: url.href, room: roomName, role: 'viewer', name: 'Visitor' });
const gallery = new Gallery(client, room.monitors);

const header = new Header(roomName);
const statsPanel = new StatsPanel();
const playPanel = new PlayPanel({ url: url.href, room: roomName });
const viewPanel = new ViewPanel((view) => {
  gallery.view = view;
});
const vrButton = make('button', { class: 'panel vr', type: 'button', hidden: '' }, 'Enter VR');
const hint = make('p', { class: 'hint' }, 'W A S D to walk, drag to look, double-click to lock the pointer');
document
  .querySelector('#hud')!
  .append(
    header.element,
    make('div', { class: 'right' }, statsPanel.element),
    make('div', { class: 'left' }, playPanel.element, viewPanel.element, vrButton),
    hint,
  );

for (const name of ['open', 'participantJoined', 'participantLeft'] as const) {
  client.on(name, () => {
    const everybody = [...client.participants.values()];
    const players = everybody.filter(({ role }) => role === 'player').length;
    // This page watches, too, whether or not the list has it.
    const self = client.participants.has(client.session?.participant ?? '') ? 0 : 1;
    header.showPeople(players, everybody.length - players + self);
  });
}
client.on('open', () => header.showConnection('open'));
client.on('reconnecting', () => header.showConnection('reconnecting'));
client.on('close', () => header.showConnection('closed'));
client.on('error', (error) => console.warn(`${error.code}: ${error.message}`, error.remedy ?? ''));

/** What the panels show, for tests and for the curious. */
interface RoomStats {
  streams: StreamRow[];
  totals: Totals;
  quality: string;
}

let framesPerSecond = 0;
let rendered = 0;
let previous = { atMs: performance.now(), bytesUp: 0 };
let bitsUp = 0;

function stats(): RoomStats {
  const streams = gallery.rows();
  const published = playPanel.session?.published;
  return {
    streams,
    quality: quality.name,
    totals: {
      framesPerSecond,
      down: streams.reduce((sum, each) => sum + each.stats.bitrate, 0),
      up: bitsUp,
      packetBytes: published?.lastPacketBytes,
      roundTripMs: client.stats.roundTripMs,
      codec: client.session?.codec,
    },
  };
}

function refreshPanels(): void {
  const nowMs = performance.now();
  const seconds = (nowMs - previous.atMs) / 1000;
  const bytesUp = playPanel.session?.published.bytes ?? 0;
  framesPerSecond = rendered / seconds;
  bitsUp = (Math.max(0, bytesUp - previous.bytesUp) * 8) / seconds;
  rendered = 0;
  previous = { atMs: nowMs, bytesUp };
  const { streams, totals } = stats();
  statsPanel.update(streams, totals);
  playPanel.update();
}
setInterval(refreshPanels, PANEL_INTERVAL_MS);

/** the visit in VR that is under way */
let vr: VrSession | undefined;

let pixelRatio = quality.pixelRatio;
setInterval(() => {
  // A hidden page draws nothing; that says nothing about the machine. A headset's resolution is its own affair.
  if (document.hidden || framesPerSecond === 0 || vr) return;
  const wanted = adaptPixelRatio(pixelRatio, framesPerSecond, quality);
  if (wanted === pixelRatio) return;
  pixelRatio = wanted;
  renderer.setPixelRatio(pixelRatio);
}, ADAPT_INTERVAL_MS);

function resize(): void {
  if (vr) return;
  const { clientWidth, clientHeight } = canvas;
  camera.aspect = clientWidth / clientHeight;
  // Narrow windows see as much of the gallery's width as wide ones, up to a point.
  camera.fov = camera.aspect > 1.5 ? 60 : Math.min(82, 60 * (1.5 / camera.aspect) ** 0.6);
  // The picture's centre moves into the space that the panels leave.
  const covered = clientWidth > 1_000 && statsPanel.element.open ? Math.min(130, clientWidth * 0.08) : 0;
  camera.setViewOffset(clientWidth, clientHeight, covered, 0, clientWidth, clientHeight);
  renderer.setSize(clientWidth, clientHeight, false);
}
addEventListener('resize', resize);
statsPanel.element.addEventListener('toggle', resize);
resize();

async function enterVr(): Promise<void> {
  vrButton.disabled = true;
  try {
    const { x, z } = camera.position;
    const started = await VrSession.begin(
      { renderer, scene: room.scene, camera, obstacles: room.obstacles },
      { x, z, turn: camera.rotation.y },
    );
    vr = started;
    playPanel.headset = () => started.motion?.pose;
    vrButton.textContent = 'Leave VR';
    started.onEnd = (where) => {
      vr = undefined;
      playPanel.headset = undefined;
      vrButton.textContent = 'Enter VR';
      controls.placeAt(where.x, where.z, where.heading);
      resize();
    };
  } catch (error) {
    console.warn('VR could not be entered:', error);
  } finally {
    vrButton.disabled = false;
  }
}
vrButton.addEventListener('click', () => void (vr ? vr.end() : enterVr()));
void isVrSupported().then((supported) => {
  vrButton.hidden = !supported;
});

const timer = new Timer();
renderer.setAnimationLoop((timestamp, frame?: XRFrame) => {
  timer.update(timestamp);
  const seconds = Math.min(0.1, timer.getDelta());
  if (vr && frame) vr.update(seconds, frame, performance.now());
  else if (!vr) controls.update(seconds);
  room.update(timer.getElapsed());
  gallery.update(camera, viewportHeight(renderer));
  renderer.render(room.scene, camera);
  rendered++;
});

/** The page may be there before the server; connections that are lost later come back by themselves. */
async function connect(): Promise<void> {
  header.showConnection('connecting');
  try {
    await client.connect();
  } catch (error) {
    header.showConnection('closed');
    console.warn(`The room could not be joined, trying again in ${CONNECT_AGAIN_MS} ms:`, error);
    setTimeout(connect, CONNECT_AGAIN_MS);
  }
}
void connect();

declare global {
  interface Window {
    facewire: {
      client: AvatarClient;
      screens: Room['monitors'][number]['screen'][];
      stats(): RoomStats;
      face(): Motion | undefined;
      placeAt: FirstPersonControls['placeAt'];
    };
  }
}
window.facewire = {
  client,
  screens: room.monitors.map(({ screen }) => screen),
  stats,
  face: () => playPanel.face,
  placeAt: (...place) => controls.placeAt(...place),
};
