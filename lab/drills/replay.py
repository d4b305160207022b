"""Replays while their builders and servers are killed, and candles are revised and backfilled."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

from lab.drills.ground import TOKEN, Watch, drill
from lab.drills.replay_parts import Inspector, Levels, Reader, Segment, get_json
from lab.http import get, post
from lab.installation import Installation
from lab.replay import Object, played, state_of_frame, states_of
from lab.waiting import wait_until
from overlays.replay.jobs import ASK_AGAIN_S, MEGABYTE
from trade_canvas.switches import PREFIX

SWITCHES = {
    f"{PREFIX}ENABLE_DEV_API": "1",
    f"{PREFIX}ENABLE_REPLAY_V1": "1",
    f"{PREFIX}REPLAY_PACKAGES_MAX_MB": "2",
}
WINDOW = 1_500
"""Candles of a package, and of the window that each bar shows: three parts of a build."""
KILLS = 4
MOST_ATTEMPTS = 24
READERS = 2
CUT = 2
"""Answers that a killed web process must have left in their midst."""
SAMPLED = 13
FRAMES_AT_ONCE = 4
BUILT_S = 60.0
ASKED_S = 30.0


@drill("replay", "replays: kill -9 of builder and web, revised and backfilled meanwhile")
def replay(installation: Installation, watch: Watch) -> None:
    """Every bar of a package and of a stream must be what its past's candles give."""
    with watch.fault():
        installation.run_as(SWITCHES)
        levels = Levels(installation, TOKEN)
        levels.fill(WINDOW)
        readers = [Reader(installation.url, levels, seed) for seed in range(READERS)]
        with Inspector(installation.directory / "artifacts") as inspector:
            drilled = _Drill(installation, watch, levels, readers, inspector)
            for each in (levels, *readers):
                each.start()
            drilled.kill_builders()
            drilled.kill_webs()
            drilled.end_threads()
            drilled.check_all()
        installation.run_as_made()


class _Drill:
    """One run: what is killed, and how what was read is checked."""

    def __init__(
        self,
        installation: Installation,
        watch: Watch,
        levels: Levels,
        readers: list[Reader],
        inspector: Inspector,
    ) -> None:
        self._installation = installation
        self._watch = watch
        self._levels = levels
        self._readers = readers
        self._inspector = inspector
        self._sizes = iter(range(100, 400))
        self._packages: list[tuple[int, list[Object]]] = []
        self._rng = random.Random(3)

    # Faults

    def kill_builders(self) -> None:
        """Kill the worker in the midst of builds; every second one while candles are revised."""
        interrupted, resumed, attempts = 0, 0, 0
        while interrupted < KILLS and attempts < MOST_ATTEMPTS:
            attempts += 1
            is_quiet = interrupted % 2 == 0
            with self._levels.still() if is_quiet else nullcontext():
                key, kept = self._build_killed(at_once=not is_quiet and attempts % 2 == 0)
                if kept is None:
                    continue
                interrupted += 1
                self._kill_web(interrupted)
                self._finish(key)
            if is_quiet:
                rebuilt = self._inspector.rebuilt(key, kept)
                self._watch.expect(not rebuilt, f"{rebuilt} were built twice")
                resumed += bool(kept)
        self._watch.expect(interrupted == KILLS, f"only {interrupted} builds were interrupted")
        self._watch.expect(resumed, "no build had parts to go on after")
        self._watch.note(f"{interrupted} builders killed, {resumed} went on after their parts")

    def kill_webs(self) -> None:
        """Kill web processes until answers were cut, with some more revisions."""
        for number in range(MOST_ATTEMPTS):
            if self._cut >= CUT and self._revised:
                return
            time.sleep(self._rng.random())
            self._kill_web(number)

    def end_threads(self) -> None:
        """End readers and writer, which must have gone on until now."""
        for reader in self._readers:
            self._watch.expect(reader.is_alive(), "a reader failed")
            reader.end()
        self._watch.expect(self._levels.is_alive(), "the writer failed")
        self._levels.end()

    @property
    def _cut(self) -> int:
        return sum(each.is_cut for reader in self._readers for each in reader.segments)

    @property
    def _revised(self) -> int:
        return sum(each.is_revised for reader in self._readers for each in reader.segments)

    def _build_killed(self, *, at_once: bool) -> tuple[str, dict[str, int] | None]:
        """Kill the worker that builds; the package's key, and its parts if it is not there yet."""
        worker = next(each for each in self._installation.workers if each.name == "worker")
        key = self._asked()
        if not at_once:
            wait_until(lambda: self._inspector.has_begun(key), BUILT_S, "a part")
        worker.kill()
        kept = self._inspector.parts(key)
        worker.start().wait_ready()
        return key, kept

    def _kill_web(self, number: int) -> None:
        web = self._installation.webs[number % len(self._installation.webs)]
        web.kill()
        web.start().wait_ready()

    def _asked(self) -> str:
        """Have a package built that there was not before; its key."""
        size = next(self._sizes)
        body = {
            "series_id": str(self._levels.series["1m"]),
            "window_candles": WINDOW,
            "window_size": size,
        }

        def asked() -> str:
            status, answer = post(f"{self._installation.url}/api/replay/build", body)
            return str(answer["job_id"]) if status == 200 else ""

        return wait_until(asked, ASKED_S, "a build to be taken")

    def _finish(self, key: str) -> None:
        """Wait until a build has ended; keep the package's windows, unless it was revised."""
        state: Object = {}

        def has_ended() -> bool:
            nonlocal state
            url = f"{self._installation.url}/api/replay/status?job_id={key}"
            state = get(url)[1] or {}
            return state.get("status") in ("done", "error")

        wait_until(has_ended, ASK_AGAIN_S + BUILT_S, "a build to end")
        if state["status"] == "error":
            self._watch.expect(state["error"] == "revised", f"a build failed: {state['error']}")
            return
        epoch = self._inspector.epoch(key)
        if epoch is not None:
            self._packages.append((epoch, self._windows(key, state["metadata"])))

    def _windows(self, key: str, metadata: Object) -> list[Object]:
        places = range(0, metadata["total_candles"], metadata["window_size"])
        query = {"job_id": key, "factors": "changes"}
        url = f"{self._installation.url}/api/replay/window"
        return [get_json(url, **query, target_idx=place) for place in places]

    # Checks

    def check_all(self) -> None:
        """Compare everything that was read, then every bar once more with its frame."""
        watch, inspector = self._watch, self._inspector
        segments = [each for reader in self._readers for each in reader.segments]
        for segment in segments:
            self._check_segment(segment)
        for epoch, windows in self._packages:
            self._check_package(epoch, windows)
        watch.expect(self._cut >= CUT, f"only {self._cut} answers were cut")
        watch.expect(self._revised, "no answer met a revision")
        watch.note(f"{len(segments)} answers: {self._cut} cut, {self._revised} ended by a revision")
        watch.note(f"{len(self._packages)} packages, {self._levels.changes} changes of the past")
        self._check_frames()
        watch.note(f"{watch.delivered:,} bars compared")
        watch.expect(not inspector.broken, f"half packages: {inspector.broken}")
        total, newest = inspector.sizes()
        bound = int(SWITCHES[f"{PREFIX}REPLAY_PACKAGES_MAX_MB"]) * MEGABYTE
        watch.expect(total <= max(bound, newest), f"{total:,} bytes of packages are kept")
        watch.expect(inspector.dropped, "no package was dropped")
        watch.note(f"{inspector.dropped} packages dropped by size")

    def _check_segment(self, segment: Segment) -> None:
        """Find for each series the past that all its bars are of, between the two clocks."""
        bars: dict[str, list[tuple[Object, Any]]] = {}
        began = newest = segment.lines[0]["clock"]
        try:
            for clock, stage in played(segment.lines):
                newest = clock
                assert stage.time is not None and stage.candle is not None
                is_sampled = stage.time // stage.step % SAMPLED == 0
                state = stage.state() if is_sampled else None
                bars.setdefault(stage.series_id, []).append((stage.candle, state))
        except AssertionError:
            self._watch.out_of_order += 1
            return
        for text, series in self._levels.series.items():
            name, step, shown = str(series), self._levels.steps[text], bars.get(str(series), [])
            pasts = self._levels.pasts_between(name, segment.before, segment.after)
            # A long candle is stored after the minute that it closed with: of those that had closed
            # by the last clock the newest may have come after the answer.
            last = max([segment.heads[name], *(candle["time"] for candle, _ in shown)])
            end = min(newest - step, last)
            is_found = any(
                past.fits(shown, (past.floor(began - step), end), WINDOW) for past in pasts
            )
            self._count(len(shown), is_found, f"{name} from {began}: as in none of {len(pasts)}")

    def _check_package(self, epoch: int, windows: list[Object]) -> None:
        shown = [
            (candle, state if candle["time"] // 60 % SAMPLED == 0 else None)
            for found in windows
            for candle, state in states_of(found, WINDOW * 60)
        ]
        span = shown[0][0]["time"], shown[-1][0]["time"]
        past = self._levels.pasts[str(self._levels.series["1m"])].get(epoch)
        is_found = past is not None and past.fits(shown, span, WINDOW)
        is_found = is_found and len(shown) == WINDOW
        self._count(len(shown), is_found, f"a package is not as in epoch {epoch}")

    def _count(self, bars: int, is_right: bool, failure: str) -> None:
        self._watch.delivered += bars
        self._watch.wrong += 0 if is_right else max(1, bars)
        self._watch.expect(is_right, failure)

    def _check_frames(self) -> None:
        """Every bar of a new package, and of a stream of all levels, must equal its frame."""
        key = self._asked()
        self._finish(key)
        (_, windows), series = self._packages[-1], self._levels.series
        found: dict[str, list[tuple[int, Any]]] = {str(each): [] for each in series.values()}
        name = str(series["1m"])
        for each in windows:
            found[name] += [(bar["time"], state) for bar, state in states_of(each, WINDOW * 60)]
        first, last = found[name][0][0], found[name][-1][0]
        for _, stage in played(self._readers[0].whole(first, last)):
            if stage.time is not None:
                found[stage.series_id].append((stage.time, stage.state()))
        self._watch.expect(
            len(found[name]) == 2 * WINDOW, f"{len(found[name])} bars of {2 * WINDOW}"
        )
        for text, step in self._levels.steps.items():
            bars = found[str(series[text])]
            self._watch.delivered += len(bars)
            self._watch.wrong += self._not_as_framed(str(series[text]), step, bars)

    def _not_as_framed(self, name: str, step: int, bars: list[tuple[int, Any]]) -> int:
        """How many bars are not as the frames at their time."""
        urls = [web.url for web in self._installation.webs]

        def framed(time_: int) -> Any:
            url = f"{urls[time_ // step % len(urls)]}/api/frame/at_time"
            query = {"series_id": name, "at_time": time_, "window_candles": WINDOW}
            return state_of_frame(get_json(url, **query), WINDOW * step)

        times = sorted({time_ for time_, _ in bars})
        with ThreadPoolExecutor(FRAMES_AT_ONCE) as pool:
            frames = dict(zip(times, pool.map(framed, times), strict=True))
        return sum(state != frames[time_] for time_, state in bars)
