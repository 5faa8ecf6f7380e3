import { FacewireError } from '@facewire/proto';
import type { AvatarInfo } from '../contracts.ts';

export const AVATAR_ID = /^[a-z0-9][a-z0-9-]{0,63}$/;
/** 1 to 64 characters, counted as the protocol and the transports count them: code points, of which an emoji is one or more */
export const AVATAR_NAME = /^\P{Cc}{1,64}$/u;

/** "Zoë Müller" → "zoe-muller" */
export function slug(name: string): string {
  const plain = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 40)
    .replace(/^-+|-+$/g, '');
  return plain || 'avatar';
}

/** Returns the name without blanks around it. Throws message_malformed. */
export function checkName(name: string): string {
  const trimmed = typeof name === 'string' ? name.trim() : '';
  if (!AVATAR_NAME.test(trimmed)) {
    throw new FacewireError('message_malformed', 'an avatar has a name of 1 to 64 printable characters', {
      received: name,
      remedy: 'send such a name',
    });
  }
  return trimmed;
}

/** Throws message_malformed. */
export function checkId(id: string): string {
  if (!AVATAR_ID.test(id)) {
    throw new FacewireError('message_malformed', 'an avatar id has 1 to 64 of a–z, 0–9 and "-", not "-" first', {
      received: id,
      remedy: 'send such an id, or none',
    });
  }
  return id;
}

/** The order of a list: built-in avatars first, then by age. */
export function compareAvatars(a: AvatarInfo, b: AvatarInfo): number {
  return Number(b.builtIn) - Number(a.builtIn) || compare(a.createdAt, b.createdAt) || compare(a.id, b.id);
}

/** Of two avatars made in the same millisecond under one id only the source differs. */
export function versionOf(createdAt: string | undefined, source: string | undefined): string {
  return `${createdAt} ${source}`;
}

export function avatarExists(id: string): FacewireError {
  return new FacewireError('avatar_exists', `there is an avatar ${id} already`, {
    received: id,
    remedy: 'choose another id, or leave it out',
  });
}

export function avatarUnknown(id: string): FacewireError {
  return new FacewireError('avatar_unknown', `there is no avatar ${id}`, {
    received: id,
    remedy: 'list the avatars, or create one from a portrait',
  });
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
