// @vitest-environment happy-dom
import { beforeEach, describe, expect, it, vi } from "vitest";

const SERIES = "sim:futures:BTC/USDT:1m";
const { dataset } = document.documentElement;

/** Runs the script as a page at `search` does, with what the browser remembers. */
async function run(search: string, remembered: unknown): Promise<string | undefined> {
  window.history.replaceState(null, "", `/canvas/${search}`);
  window.localStorage.setItem("trade_canvas.settings", JSON.stringify(remembered));
  vi.resetModules();
  await import("../src/early");
  return window.early?.path;
}

const fetched: string[] = [];

beforeEach(() => {
  window.localStorage.clear();
  delete window.early;
  fetched.length = 0;
  vi.spyOn(window, "fetch").mockImplementation((address) => {
    fetched.push(String(address));
    return Promise.resolve({ text: () => Promise.resolve("{}") } as never);
  });
});

describe("the early script", () => {
  it("requests the candles of the link, below the page's prefix", async () => {
    const path = await run(`?series=${SERIES}`, { series: "sim:spot:ETH/USDT:1h" });
    expect(path).toContain(encodeURIComponent(SERIES));
    expect(fetched).toEqual([new URL(`.${path}`, window.location.href).href]);
    expect(fetched[0]).toContain("/canvas/api/market/candles?");
  });

  it("requests the candles of the last series without a link", async () => {
    expect(await run("", { series: SERIES })).toContain(encodeURIComponent(SERIES));
  });

  it.each([["?series=nonsense", { series: SERIES }], ["", {}], ["", null], ["", "text"]])(
    "requests nothing for %s and %j",
    async (search, remembered) => {
      expect(await run(search, remembered)).toBeUndefined();
      expect(fetched).toEqual([]);
    },
  );

  it("sets the colours that the user chose before anything is painted", async () => {
    await run("", { theme: "light", redUp: true });
    expect({ ...dataset }).toMatchObject({ theme: "light", rising: "red" });
    await run("", { theme: "dark" });
    expect({ ...dataset }).toMatchObject({ theme: "dark", rising: "green" });
  });

  it.each([
    [true, "light"],
    [false, "dark"],
  ])("follows the system otherwise: light is %s", async (matches, theme) => {
    vi.spyOn(window, "matchMedia").mockReturnValue({ matches } as MediaQueryList);
    await run("", { theme: "system" });
    expect(dataset["theme"]).toBe(theme);
  });
});
