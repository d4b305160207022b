/** Finds a place in what is sorted. */

/** The index of the first item that is not before the place; the length when all are. */
export function firstNot<Item>(
  items: readonly Item[],
  isBefore: (item: Item) => boolean,
  from = 0,
): number {
  let [low, high] = [from, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(items[middle] as Item)) low = middle + 1;
    else high = middle;
  }
  return low;
}
