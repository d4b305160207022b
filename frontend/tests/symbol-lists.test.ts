import { describe, expect, it } from "vitest";

import { SettingsStore, STORAGE_KEY } from "../src/settings/settings";
import {
  listsOf,
  LONGEST_NAME,
  MOST_LISTS,
  MOST_SYMBOLS,
  renamed,
  symbolsOf,
  toggled,
  withList,
  withoutList,
  withToggled,
  type SymbolList,
} from "../src/settings/symbol-lists";

const BTC = "sim:spot:BTC/USDT";
const many = (count: number): string[] => Array.from({ length: count }, (_, n) => `sim:spot:A${n}/B`);

describe("lists of symbols", () => {
  const lists = withList([], "  My   coins ", [BTC]) as readonly SymbolList[];

  it("are made, renamed and deleted", () => {
    expect(lists).toEqual([{ id: "1", name: "My coins", symbols: [BTC] }]);
    const two = withList(lists, "Other") as readonly SymbolList[];
    expect(two.map(({ id }) => id)).toEqual(["1", "2"]);
    expect(renamed(two, "2", "Third")?.map(({ name }) => name)).toEqual(["My coins", "Third"]);
    expect(withoutList(two, "1").map(({ id }) => id)).toEqual(["2"]);
  });

  it("need a name", () => {
    expect([withList([], "  "), renamed(lists, "1", "")]).toEqual([null, null]);
    expect(withList([], "x".repeat(99))?.[0]?.name.length).toBe(LONGEST_NAME);
  });

  it("take symbols and give them up", () => {
    expect(withToggled(lists, "1", BTC)[0]?.symbols).toEqual([]);
    expect(withToggled(lists, "1", "sim:spot:A/B")[0]?.symbols).toEqual([BTC, "sim:spot:A/B"]);
    expect(withToggled(lists, "9", BTC)).toEqual(lists);
  });

  it("are bounded", () => {
    expect(toggled(many(MOST_SYMBOLS), BTC)).toEqual(many(MOST_SYMBOLS));
    let full: readonly SymbolList[] = [];
    for (let n = 0; n < MOST_LISTS; n += 1) full = withList(full, "x") ?? full;
    expect([full.length, withList(full, "x")]).toEqual([MOST_LISTS, null]);
  });
});

describe("a stored record", () => {
  it("gives its symbols once, without what is none, and not too many", () => {
    expect(symbolsOf([BTC, 5, "x", BTC, "sim:spot:A/B:B", null])).toEqual([BTC]);
    expect(symbolsOf(many(MOST_SYMBOLS + 5)).length).toBe(MOST_SYMBOLS);
    expect(symbolsOf("sim:spot:A/B")).toEqual([]);
  });

  it("gives its lists, without what is none", () => {
    const list = { id: "3", name: "x", symbols: [BTC, "no"] };
    const stored = [list, list, { id: "x", name: "y" }, { id: "4", name: " " }, null, 7];
    expect(listsOf(stored)).toEqual([{ id: "3", name: "x", symbols: [BTC] }]);
    expect(listsOf({})).toEqual([]);
  });

  it("is read by the settings", () => {
    const record = { version: 1, favourites: [BTC], lists: [{ id: "1", name: "x", symbols: [] }] };
    const storage = {
      getItem: (key: string) => (key === STORAGE_KEY ? JSON.stringify(record) : null),
      setItem: () => undefined,
    };
    const { favourites, lists } = new SettingsStore(() => storage).value;
    expect([favourites, lists.length]).toEqual([[BTC], 1]);
  });
});
