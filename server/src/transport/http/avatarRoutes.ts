import { FacewireError } from '@facewire/proto';
import type { AvatarStore, HttpRequest, HttpResponse } from '../../contracts.ts';
import { parseLandmarks } from './parseLandmarks.ts';
import { jsonResponse } from './responses.ts';
import type { Route } from './route.ts';

const MAX_NAME = 64;

/** Avatars over HTTP: list, create from a portrait, look at, delete. */
export function avatarRoutes(avatars: AvatarStore): Route[] {
  return [
    { method: 'GET', pattern: '/api/avatars', handle: () => jsonResponse(200, { avatars: avatars.list() }) },
    { method: 'POST', pattern: '/api/avatars', handle: (request) => createAvatar(avatars, request) },
    {
      method: 'GET',
      pattern: '/api/avatars/:id',
      handle: (_request, { id = '' }) => {
        const info = avatars.get(id);
        if (info === undefined) throw avatarUnknown(id);
        return jsonResponse(200, info);
      },
    },
    {
      method: 'GET',
      pattern: '/api/avatars/:id/portrait',
      handle: async (_request, { id = '' }) => {
        const image = await avatars.portrait(id);
        if (image === undefined) throw avatarUnknown(id);
        return {
          status: 200,
          headers: { 'content-type': imageType(image), 'cache-control': 'public, max-age=300' },
          body: image,
        };
      },
    },
    {
      method: 'DELETE',
      pattern: '/api/avatars/:id',
      handle: async (_request, { id = '' }) => {
        if (avatars.get(id) === undefined) throw avatarUnknown(id);
        await avatars.delete(id);
        return { status: 204, headers: {}, body: '' };
      },
    },
  ];
}

async function createAvatar(avatars: AvatarStore, request: HttpRequest): Promise<HttpResponse> {
  if (request.body.length === 0) {
    throw new FacewireError('image_unreadable', 'the body must be the bytes of a JPEG, PNG or WebP image', {
      received: '0 bytes',
      remedy: 'for instance: curl --data-binary @portrait.jpg "…/api/avatars?name=Ada"',
    });
  }
  const landmarks = parseLandmarks(request.headers['x-landmarks'] ?? request.query.get('landmarks') ?? undefined);
  const info = await avatars.create(request.body, {
    name: avatarName(request.query.get('name')),
    ...(landmarks === undefined ? {} : { landmarks }),
  });
  return jsonResponse(201, info, { location: `/api/avatars/${encodeURIComponent(info.id)}` });
}

/** Printable, trimmed, at most 64 characters; `Avatar` when there is none. */
export function avatarName(raw: string | null | undefined): string {
  const printable = [
    ...(raw ?? '')
      .normalize('NFC')
      .replace(/\p{C}+/gu, ' ')
      .trim(),
  ].slice(0, MAX_NAME);
  return printable.join('').trim() || 'Avatar';
}

export function avatarUnknown(id: string): FacewireError {
  return new FacewireError('avatar_unknown', 'there is no avatar of this id', {
    received: id,
    remedy: 'GET /api/avatars lists those there are',
  });
}

/** By the first bytes: 89 50 is PNG, all else is what the store makes otherwise, JPEG. */
function imageType(image: Uint8Array): string {
  return image[0] === 0x89 && image[1] === 0x50 ? 'image/png' : 'image/jpeg';
}
