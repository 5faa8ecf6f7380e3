/** A participant who could be shown. */
export interface Candidate {
  id: string;
  bot: boolean;
}

/**
 * Who is on which screen. Nobody who is still there moves; newcomers take the first free screen; when none is free, a
 * person takes the last screen that a bot has. Screens come in order of how good their place is.
 *
 * @param current participant of each screen
 * @returns the same length
 */
export function assignScreens(
  current: readonly (string | undefined)[],
  candidates: readonly Candidate[],
): (string | undefined)[] {
  const byId = new Map(candidates.map((each) => [each.id, each]));
  const screens = current.map((id) => (id !== undefined && byId.has(id) ? id : undefined));
  const shown = new Set(screens);
  // People first, so that bots never take the last free screen from one.
  const waiting = candidates.filter(({ id }) => !shown.has(id)).sort((a, b) => Number(a.bot) - Number(b.bot));
  for (const { id, bot } of waiting) {
    const free = screens.indexOf(undefined);
    const place = free >= 0 || bot ? free : screens.findLastIndex((each) => byId.get(each!)?.bot === true);
    if (place >= 0) screens[place] = id;
  }
  return screens;
}
