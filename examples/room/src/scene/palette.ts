/** The room's colours, as CSS strings; three.js takes them too. */
export const PALETTE = {
  night: '#0a0c12',
  wall: '#191c26',
  wood: '#5b3a28',
  brass: '#c79a5b',
  leather: '#4c241a',
  teal: '#4fe3c8',
  amber: '#ffb35c',
  rose: '#ff5f96',
  ivory: '#f3efe6',
} as const;

export const DISPLAY_FONT = "'Sora Variable', 'Sora', system-ui, sans-serif";
export const TEXT_FONT = "'Inter Variable', 'Inter', system-ui, sans-serif";
