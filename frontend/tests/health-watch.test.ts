import { beforeEach, describe, expect, it } from "vitest";

import { ApiError } from "trade-canvas-client/http";
import { HealthWatch, LEAST_MS, type Reading } from "../src/sync/health-watch";
import { FakeClock, settle } from "../../clients/typescript/tests/fakes/clock";
import { unreachable } from "../../clients/typescript/tests/fakes/server";
import type { HealthStatus } from "trade-canvas-client/health";

type Health = { readonly status: HealthStatus };

let clock: FakeClock;
let answer: HealthStatus | ApiError;
let asked: number[];
let readings: Reading<Health>[];
let watch: HealthWatch<Health>;
let held: (() => void)[] | null;

beforeEach(() => {
  clock = new FakeClock(0);
  answer = "green";
  asked = [];
  readings = [];
  held = null;
  const read = async (): Promise<Health> => {
    asked.push(clock.now());
    const given = answer;
    if (held !== null) await new Promise<void>((resolve) => held?.push(resolve));
    if (given instanceof ApiError) throw given;
    return { status: given };
  };
  watch = new HealthWatch(read, { clock, random: () => 0.5 }, (reading) => readings.push(reading));
});

describe("HealthWatch", () => {
  it("does not poll while the page is hidden", async () => {
    watch.nudge();
    watch.hint();
    await clock.advance(60_000);
    watch.attend(true);
    await clock.advance(0);
    watch.attend(false);
    await clock.advance(600_000);
    expect(asked).toEqual([60_000]);
  });

  it("polls more rarely while all is green, down to every half minute", async () => {
    watch.attend(true);
    await clock.advance(200_000);
    expect(asked.slice(0, 3)).toEqual([0, 5_000, 12_500]);
    expect((asked.at(-1) as number) - (asked.at(-2) as number)).toBe(30_000);
  });

  it.each(["yellow", "red"] as const)("polls more often while the lamp is %s", async (status) => {
    answer = status;
    watch.attend(true);
    await clock.advance(60_000);
    expect(asked.slice(0, 3)).toEqual([0, 2_000, 5_000]);
    expect((asked.at(-1) as number) - (asked.at(-2) as number)).toBe(10_000);
    answer = "green";
    await clock.advance(10_000);
    expect(readings.at(-1)).toEqual({ health: { status: "green" } });
  });

  it("polls at once when nudged, but not repeatedly", async () => {
    watch.attend(true);
    await clock.advance(2_000);
    for (let turn = 0; turn < 20; turn += 1) {
      watch.nudge();
      await clock.advance(50);
    }
    expect(asked.length).toBeLessThanOrEqual(1 + Math.ceil(1_000 / LEAST_MS));
    expect(asked.length).toBeGreaterThan(1);
  });

  it("polls after a hint only while the lamp is not green", async () => {
    watch.attend(true);
    await clock.advance(1_000);
    watch.hint();
    await clock.advance(1_000);
    expect(asked.length).toBe(1);
    answer = "red";
    await clock.advance(4_000);
    answer = "green";
    watch.hint();
    await clock.advance(LEAST_MS);
    expect(readings.at(-1)).toEqual({ health: { status: "green" } });
  });

  it("never polls twice at a time; a nudge meanwhile polls afterwards", async () => {
    held = [];
    watch.attend(true);
    await clock.advance(0);
    watch.nudge();
    await clock.advance(10_000);
    expect(asked.length).toBe(1);
    const waiting = held.splice(0);
    held = null;
    waiting.forEach((release) => release());
    await settle();
    await clock.advance(LEAST_MS);
    expect(asked.length).toBe(2);
  });

  it("reports failures and polls more rarely", async () => {
    answer = unreachable();
    watch.attend(true);
    await clock.advance(0);
    expect(readings).toEqual([{ error: answer }]);
    watch.hint();
    await clock.advance(600_000);
    expect(asked.length).toBeLessThan(20);
  });

  it("stops where the server has no such endpoint", async () => {
    answer = new ApiError(404, "not_found", "not_found");
    watch.attend(true);
    await clock.advance(0);
    watch.nudge();
    watch.attend(true);
    await clock.advance(600_000);
    expect(asked.length).toBe(1);
  });

  it("reports nothing once stopped", async () => {
    held = [];
    watch.attend(true);
    await clock.advance(0);
    watch.stop();
    held.forEach((release) => release());
    await settle();
    watch.nudge();
    await clock.advance(60_000);
    expect([readings, asked.length, clock.pending]).toEqual([[], 1, 0]);
  });
});
