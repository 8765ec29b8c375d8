/** A point in pixels with the text that names it. */
export interface NamedPoint {
  x: number;
  y: number;
  text: string;
  /** The side on which the text should stand if there is room: -1 left, 1 right. */
  prefers: -1 | 1;
}

export interface PlacedLabel {
  /** -1: the text ends at `dx`; 1: it starts there. */
  side: -1 | 1;
  /** Pixels from the point to the text's near end and its middle. */
  dx: number;
  dy: number;
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const LETTER = 7;
const LINE = 14;
const GAP = 9;
const RADIUS = 7;

const overlap = (a: Box, b: Box) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
const overlapArea = (a: Box, b: Box) =>
  Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left)) *
  Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));

/** The room a label takes, by the width of an average letter at 12 pixels. */
export function labelBox({ x, y, text }: NamedPoint, { side, dx, dy }: PlacedLabel): Box {
  const [near, far] = [x + dx, x + dx + side * LETTER * text.length];
  return { left: Math.min(near, far), right: Math.max(near, far), top: y + dy - LINE / 2, bottom: y + dy + LINE / 2 };
}

export const pointBox = ({ x, y }: NamedPoint): Box => ({
  left: x - RADIUS,
  right: x + RADIUS,
  top: y - RADIUS,
  bottom: y + RADIUS,
});

/** Beside the point, then one line up or down, then two, ...; on the preferred side first. */
const CANDIDATES = [0, 1, 2, 3, 4, 5].flatMap((lines) =>
  [1, -1].flatMap((turn) => (lines === 0 ? [0] : [-lines * LINE, lines * LINE]).map((dy) => ({ turn, dy }))),
);

/** Puts each text where it covers neither a point nor a text placed before it; where there is no such place, where it covers least. */
export function placeLabels(points: NamedPoint[]): PlacedLabel[] {
  const taken = points.map(pointBox);
  return points.map((point) => {
    const places = CANDIDATES.map(({ turn, dy }): PlacedLabel => {
      const side = (turn * point.prefers) as -1 | 1;
      return { side, dx: side * GAP, dy };
    });
    const covered = (place: PlacedLabel) => taken.reduce((sum, box) => sum + overlapArea(labelBox(point, place), box), 0);
    const free = places.find((place) => !taken.some((box) => overlap(labelBox(point, place), box)));
    const place = free ?? places.reduce((best, other) => (covered(other) < covered(best) ? other : best));
    taken.push(labelBox(point, place));
    return place;
  });
}
