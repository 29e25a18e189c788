// How many columns a wall of tiles has. Pure, so that node can test it.

/** The narrowest tile whose numbers are still legible, in CSS pixels. */
const NARROWEST = 290;
const GAP = 12;

/**
 * The fewest columns (so the largest tiles) with which `count` tiles fit into `width` x `height` without scrolling;
 * where none does, as many as are legible. `foot` is the height of a tile without its 16:9 picture.
 */
export function columns(count, width, height, foot) {
  // One alone is as large as the window lets it be; its width is bounded by the style.
  if (count === 1) return 1;
  const most = Math.max(1, Math.floor((width + GAP) / (NARROWEST + GAP)));
  for (let columns = 1; columns < most; columns += 1) {
    const tile = (width - GAP * (columns - 1)) / columns;
    const rows = Math.ceil(count / columns);
    if (rows * ((tile * 9) / 16 + foot + GAP) - GAP <= height) return columns;
  }
  return most;
}

/** The widest a single tile may be so that it is in sight as a whole. */
export function widest(height, foot) {
  return Math.max(NARROWEST, Math.floor(((height - foot) * 16) / 9));
}
