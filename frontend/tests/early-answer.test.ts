// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Api } from "../src/sync/api";
import { KeptChunks } from "../src/sync/kept-chunk";
import { SettingsStore } from "../src/settings/settings";
import { takeEarlyAnswer, withEarlyAnswer, type EarlyAnswer } from "../src/sync/early-answer";

const SERIES = "sim:spot:BTC/USDT:1m";
const answer = (text: string): Response => new Response(text);
const signal = new AbortController().signal;

describe("withEarlyAnswer", () => {
  const requested: string[] = [];
  const fetch = async (path: string): Promise<Response> => (requested.push(path), answer("fetched"));

  async function texts(early: EarlyAnswer | undefined, ...paths: string[]): Promise<string[]> {
    const either = withEarlyAnswer(fetch, early);
    const found: string[] = [];
    for (const path of paths) {
      const body = await (await either(path, { signal })).arrayBuffer();
      found.push(new TextDecoder().decode(body));
    }
    return found;
  }

  beforeEach(() => void requested.splice(0));

  it("gives the answer once, to a request for the same", async () => {
    const read = { response: answer("read"), body: new TextEncoder().encode("early").buffer };
    const early = { path: "/a", answer: Promise.resolve(read) };
    expect(await texts(early, "/b", "/a", "/a")).toEqual(["fetched", "early", "fetched"]);
    expect(await texts(undefined, "/a")).toEqual(["fetched"]);
  });

  it("requests again what failed", async () => {
    const failed: EarlyAnswer["answer"] = Promise.reject(new TypeError("no network"));
    failed.catch(() => undefined);
    expect(await texts({ path: "/a", answer: failed }, "/a")).toEqual(["fetched"]);
  });

  it("ends with the request", async () => {
    const request = new AbortController();
    const never = { path: "/a", answer: new Promise<never>(() => undefined) };
    const pending = withEarlyAnswer(fetch, never)("/a", { signal: request.signal });
    request.abort();
    await expect(pending).rejects.toBe(request.signal.reason);
  });
});

describe("early.ts", () => {
  const fetched: string[] = [];
  const accepted: (string | null)[] = [];
  const accept = (init?: RequestInit): string | null => new Headers(init?.headers).get("Accept");

  beforeEach(() => {
    fetched.splice(0);
    accepted.splice(0);
    vi.resetModules();
    window.localStorage.clear();
    vi.stubGlobal("fetch", async (url: URL, init?: RequestInit) => {
      fetched.push(url.href);
      accepted.push(accept(init));
      return answer("{}");
    });
    window.fetch = globalThis.fetch;
    delete window.early;
  });

  afterEach(() => {
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });

  async function load(href: string): Promise<EarlyAnswer | undefined> {
    (window as unknown as { happyDOM: { setURL(url: string): void } }).happyDOM.setURL(href);
    await import("../src/early");
    return window.early;
  }

  it("requests what the page will request for the series of the link, beside the page", async () => {
    const early = await load(`http://host/prefix/?series=${SERIES}`);
    const asked: [string, string | null][] = [];
    const api = new Api(async (path, init) => (asked.push([path, accept(init)]), answer("{}")));
    await api.candles(SERIES, { since: null, limit: 2000, signal }).catch(() => undefined);
    expect(asked).toEqual([[early?.path, accepted[0]]]);
    expect(accepted[0]).toContain("candles");
    expect(fetched).toEqual([`http://host/prefix${early?.path}`]);
  });

  it("is taken once: the window does not keep the text of the answer", async () => {
    const early = await load(`http://host/?series=${SERIES}`);
    expect(early).toBeDefined();
    expect([takeEarlyAnswer(), window.early, takeEarlyAnswer()]).toEqual([early, undefined, undefined]);
  });

  it("requests what the page will request beside the chunk that the browser keeps", async () => {
    const chunk = { name: "0-a", since: Math.floor(Date.now() / 1000), epoch: 0, generation: "g" };
    new KeptChunks(() => window.localStorage).set(SERIES, chunk);
    const early = await load(`http://host/?series=${SERIES}`);
    const asked: string[] = [];
    const api = new Api(async (path) => (asked.push(path), answer("{}")));
    const query = { since: chunk.since, limit: 5000, signal };
    await api.candles(SERIES, query).catch(() => undefined);
    expect(asked).toEqual([early?.path]);
  });

  it.each([
    [{ theme: "light", redUp: true }, "light", "red"],
    [{ theme: "dark" }, "dark", "green"],
  ] as const)("sets the colours of %j before anything is painted", async (chosen, theme, rising) => {
    new SettingsStore(() => window.localStorage).update(chosen);
    await load("http://host/");
    expect({ ...document.documentElement.dataset }).toMatchObject({ theme, rising });
  });

  it("has the colours of the system where the user chose none", async () => {
    vi.spyOn(window, "matchMedia").mockReturnValue({ matches: true } as MediaQueryList);
    await load("http://host/");
    expect(document.documentElement.dataset["theme"]).toBe("light");
  });

  it("requests the series that was open last, where the link names none", async () => {
    new SettingsStore(() => window.localStorage).update({ series: SERIES });
    expect((await load("http://host/"))?.path).toContain(encodeURIComponent(SERIES));
  });

  it("leaves a link that names no series to the page", async () => {
    expect(await load("http://host/?series=binance:BTCUSDT")).toBeUndefined();
  });

  it.each(["", "no JSON", "null", '{"series":7}'])("requests nothing for %j", async (stored) => {
    window.localStorage.setItem("trade_canvas.settings", stored);
    expect(await load("http://host/")).toBeUndefined();
    expect(fetched).toEqual([]);
  });
});
