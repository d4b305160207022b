import { beforeEach, describe, expect, it } from "vitest";

import { UTC } from "../src/i18n/zone";
import { HOLD_MS } from "../src/sync/health-watch";
import { ApiError } from "trade-canvas-client/http";
import { HealthLamps } from "../src/panels/health-lamps";
import { FakeClock, settle } from "../../clients/typescript/tests/fakes/clock";
import type { CandleHealth, FactorHealth, HealthStatus } from "trade-canvas-client/health";

class FakeHealth {
  status: HealthStatus = "green";
  readonly asked: string[] = [];

  async candleHealth(seriesId: string): Promise<CandleHealth> {
    this.asked.push(`candles ${seriesId}`);
    throw new ApiError(404, "not_found", "not_found");
  }

  async factorHealth(seriesId: string): Promise<FactorHealth> {
    this.asked.push(`factors ${seriesId}`);
    const head = 60;
    const heads = { storeHead: head, factorHead: head, overlayHead: head, delaySeconds: 60 };
    return { status: this.status, reason: "", ...heads };
  }
}

let clock: FakeClock;
let api: FakeHealth;
let heard: boolean[];
let lamps: HealthLamps;

beforeEach(async () => {
  clock = new FakeClock();
  api = new FakeHealth();
  const dependencies = {
    api,
    clock,
    random: () => 0.5,
    zone: () => UTC,
    headSeen: () => undefined,
    halted: (isHalted: boolean) => heard.push(isHalted),
  };
  heard = [];
  lamps = new HealthLamps(dependencies, () => undefined);
  lamps.open("a");
  lamps.show("ready", "complete");
});

const states = (): unknown[] => [lamps.lamps.candles.state, lamps.lamps.drawings?.state];

describe("HealthLamps", () => {
  it("are gray and poll nothing until the page is visible", async () => {
    await clock.advance(60_000);
    expect([api.asked, states()]).toEqual([[], ["unknown", "unknown"]]);
    lamps.attend(true);
    await clock.advance(HOLD_MS);
    expect([api.asked, states()]).toEqual([["candles a", "factors a"], ["unknown", "ok"]]);
    expect(lamps.lamps.candles.explanation).toBe("The server does not report this");
  });

  it("poll only the new series after a change", async () => {
    lamps.attend(true);
    await clock.advance(HOLD_MS);
    api.asked.length = 0;
    lamps.open("b");
    expect(states()).toEqual(["unknown", "unknown"]);
    await clock.advance(60_000);
    expect(new Set(api.asked)).toEqual(new Set(["candles b", "factors b"]));
  });

  it("turn green soon after a candle arrived while one was not green", async () => {
    api.status = "red";
    lamps.attend(true);
    await clock.advance(60_000);
    expect(states()[1]).toBe("lagging");
    api.status = "green";
    lamps.candleClosed(60);
    await clock.advance(600);
    expect(states()[1]).toBe("ok");
  });

  it("show the status of the page's drawings", async () => {
    lamps.attend(true);
    await clock.advance(HOLD_MS);
    lamps.show("behind", "complete");
    expect(states()[1]).toBe("rebuilding");
    lamps.show("off", "complete");
    expect(lamps.lamps.drawings).toBeNull();
    lamps.disturbed();
    await settle();
    await clock.advance(600);
    expect(api.asked.filter((asked) => asked === "factors a").length).toBe(2);
  });
});

describe("the lamp of the candles", () => {
  const HOUR = 3600;
  const behind: CandleHealth = {
    status: "yellow",
    reason: "backfill_running",
    headTime: 10 * HOUR,
    expectedTime: 30 * HOUR,
    missingSeconds: 20 * HOUR,
    backfillRunning: true,
    backfillPercent: 0,
    backfillFrom: 20 * HOUR,
    isHalted: false,
    derived: null,
  };

  async function opened(health: CandleHealth): Promise<void> {
    api.candleHealth = async () => health;
    lamps.attend(true);
    await clock.advance(HOLD_MS);
  }

  it("reports a halted market", async () => {
    await opened({ ...behind, isHalted: true });
    expect(lamps.lamps.candles.label).toBe("Halted");
    expect(heard).toEqual([true]);
  });

  it("shows what the server reported while the chart has no more", async () => {
    await opened(behind);
    lamps.candleClosed(null);
    expect(lamps.lamps.candles.label).toBe("Backfilling 0% · missing 20h");
    lamps.candleClosed(10 * HOUR);
    expect(lamps.lamps.candles.label).toBe("Backfilling 0% · missing 20h");
  });

  it("counts the candles that arrived on the chart since", async () => {
    await opened(behind);
    lamps.candleClosed(25 * HOUR);
    expect(lamps.lamps.candles.label).toBe("Backfilling 75% · missing 5h");
  });

  it.each([
    [behind],
    [{ ...behind, status: "red", reason: "lagging_no_recent_backfill" } as const],
    [{ ...behind, status: "red", reason: "missing_head", headTime: null, missingSeconds: null } as const],
  ])("is not late while the newest candle is on the chart: %j", async (health) => {
    await opened(health);
    lamps.candleClosed(30 * HOUR);
    expect([lamps.lamps.candles.state, lamps.lamps.candles.label]).toEqual(["ok", "Latest"]);
    expect(lamps.lamps.candles.explanation).toContain("1970-01-02 06:00");
  });

  it("forgets the chart of the series before", async () => {
    await opened(behind);
    lamps.candleClosed(30 * HOUR);
    lamps.open("b");
    await clock.advance(HOLD_MS);
    expect(lamps.lamps.candles.label).toBe("Backfilling 0% · missing 20h");
  });

  const pushed = (status: HealthStatus): void => {
    const heads = { storeHead: 60, factorHead: 60, overlayHead: 60, delaySeconds: 60 };
    lamps.pushed({
      type: "health",
      series_id: "a",
      candles: null,
      partial: [],
      factors: { status, reason: "", ...heads },
    });
  };

  it("ask for nothing while the server sends health", async () => {
    lamps.attend(true);
    lamps.connected(true);
    pushed("red");
    expect(states()).toEqual(["unknown", "lagging"]);
    lamps.candleClosed(120);
    lamps.disturbed();
    lamps.attend(true);
    await clock.advance(600_000);
    expect(api.asked).toEqual([]);
    pushed("green");
    expect(states()[1]).toBe("ok");
  });

  it("ask again once the connection is lost for longer than a moment", async () => {
    lamps.attend(true);
    lamps.connected(true);
    pushed("green");
    lamps.connected(false);
    await clock.advance(1_000);
    lamps.connected(true);
    pushed("green");
    await clock.advance(60_000);
    expect(api.asked).toEqual([]);
    lamps.connected(false);
    await clock.advance(60_000);
    expect(new Set(api.asked)).toEqual(new Set(["candles a", "factors a"]));
  });

  it("show the newest candle while the server sends that all is well", () => {
    pushed("green");
    lamps.candleClosed(7200);
    expect(lamps.lamps.factors?.explanation).toContain("02:00");
    pushed("red");
    expect(lamps.lamps.factors?.explanation).not.toContain("02:00");
  });
});
