"""The content of a replay package: parts as they are built, the file, and windows as clients read.

The file has what the first bar shows, once, and what each later bar changes: a window of it is what
is left of the windows before, and its own changes. Defined in the replay contract; docs/replay.md
has what differs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from factors.domain.slices import snapshot, window_start
from factors.domain.values import Slice
from factors.domain.walk import apply_row
from market.domain.candle import Candle
from market.domain.series import SeriesId
from overlays.domain.instruction import LINE
from overlays.replay.reader import Bar, SeriesWalk
from overlays.replay.shared import Shared, restored

SCHEMA = "replay_package_v1"
LOGIC_VERSION = "factor_snapshots_v2"
SCHEMA_VERSION = 1
PRELOAD_OFFSET = 0

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PackageSpec:
    """Which candles a package has, and how they are cut; every value within its bounds."""

    series_id: str
    to_candle_time: int
    window_candles: int
    window_size: int
    snapshot_interval: int
    candle_store_head_time: int
    factor_store_last_event_id: int
    overlay_store_last_version_id: int

    @property
    def series(self) -> SeriesId:
        """The series, parsed."""
        return SeriesId.parse(self.series_id)

    @property
    def from_time(self) -> int:
        """The earliest open time that the package may have."""
        timeframe = self.series.timeframe
        return max(0, timeframe.moved(self.to_candle_time, 1 - self.window_candles))

    @property
    def cache_key(self) -> str:
        """The key of the package: the same request of the same ledgers has the same one."""
        fields = asdict(self) | {
            "schema": SCHEMA,
            "logic_version": LOGIC_VERSION,
            "preload_offset": PRELOAD_OFFSET,
        }
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:24]


def part_of(bars: Sequence[Bar], *, start_idx: int) -> Object:
    """The candles of bars and what they change, as a window of the file has them."""
    return {
        "start_idx": start_idx,
        "end_idx": start_idx + len(bars),
        "kline": [kline(bar.candle) for bar in bars],
        "event_catalog": None,
        "catalog_base": [],
        "catalog_patch": [each.as_object() for bar in bars for each in bar.drawn.versions],
        "checkpoints": [],
        "diffs": [
            {"at_idx": at, "add_ids": bar.drawn.added, "remove_ids": bar.drawn.removed}
            for at, bar in enumerate(bars, start_idx)
            if bar.drawn.added or bar.drawn.removed
        ],
        "points_base": {},
        "points": [
            {
                "at_idx": at,
                "points": {
                    each.instruction_id: each.definition["value"] for each in bar.drawn.points
                },
            }
            for at, bar in enumerate(bars, start_idx)
            if bar.drawn.points
        ],
        "factor_rows": [row for bar in bars for row in bar.factor_rows],
    }


def first_part(walk: SeriesWalk) -> Object:
    """The part that has only the bar on which a walk stands, with everything that it shows."""
    assert walk.candle is not None
    shown = sorted(
        walk.drawn.shown.values(),
        key=lambda each: (each.visible_time, each.version_id, each.instruction_id),
    )
    return part_of([], start_idx=0) | {
        "end_idx": 1,
        "kline": [kline(walk.candle)],
        "catalog_base": [each.as_object() for each in shown],
        "checkpoints": [{"at_idx": 0, "active_ids": sorted(walk.drawn.shown)}],
        "points_base": walk.points,
        "factor_rows": walk.first_rows,
    }


def joined(first: Object, part: Object) -> Object:
    """Two parts of one window that follow each other, as one."""
    lists = {name: [*first[name], *part[name]] for name in first if isinstance(first[name], list)}
    return first | lists | {"end_idx": part["end_idx"]}


def kline(candle: Candle) -> Object:
    """A candle as packages have it."""
    time, opened, high, low, close, volume = candle
    return {
        "time": time,
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
    }


def package_file(
    spec: PackageSpec, parts: Sequence[Object], *, factors: Iterable[str], past: Object, now_ms: int
) -> Object:
    """The whole file of the parts, in their order; `past` is what the candles were read from."""
    shared = Shared()
    windows = [
        {"window_index": n} | part | {"factor_rows": shared.put(part["factor_rows"])}
        for n, part in enumerate(parts)
    ]
    times = [parts[0]["kline"][0]["time"], parts[-1]["kline"][-1]["time"]]
    return {
        "schema_version": SCHEMA_VERSION,
        "cache_key": spec.cache_key,
        "metadata": {
            "schema_version": SCHEMA_VERSION,
            "series_id": spec.series_id,
            "timeframe_s": spec.series.timeframe.seconds,
            "total_candles": parts[-1]["end_idx"],
            "from_candle_time": times[0],
            "to_candle_time": times[1],
            "window_size": spec.window_size,
            "snapshot_interval": spec.snapshot_interval,
            "preload_offset": PRELOAD_OFFSET,
            "idx_to_time": "windows[*].kline[idx].time",
            "factor_schema": _schema(parts, factors),
        },
        "window_candles": spec.window_candles,
        "windows": windows,
        "objects": shared.objects,
        "candle_store_head_time": spec.candle_store_head_time,
        "factor_store_last_event_id": spec.factor_store_last_event_id,
        "overlay_store_last_version_id": spec.overlay_store_last_version_id,
        "past": past,
        "created_at_ms": now_ms,
    }


def _schema(parts: Iterable[Object], factors: Iterable[str]) -> list[Object]:
    """The keys that occur in history and head of each factor."""
    history: dict[str, set[str]] = {name: set() for name in factors}
    head: dict[str, set[str]] = {name: set() for name in history}
    for row, seen in _slices(row for part in parts for row in part["factor_rows"]):
        if seen is not None:
            history[row["factor_name"]].update(seen.history)
            head[row["factor_name"]].update(seen.head)
    return [
        {
            "factor_name": name,
            "history_keys": sorted(history[name]),
            "head_keys": sorted(head[name]),
        }
        for name in sorted(history)
    ]


def opened(content: Object) -> Object:
    """The package of a file, with the objects of its rows in their places."""
    windows = content["windows"]
    rows = restored(content["objects"], [each["factor_rows"] for each in windows])
    whole = [each | {"factor_rows": own} for each, own in zip(windows, rows, strict=True)]
    return content | {"windows": whole}


def window_at(package: Object, target_idx: int) -> Object:
    """The window that has a bar, as clients read it.

    Raises IndexError for a bar that the package does not have.
    """
    meta = package["metadata"]
    if not 0 <= target_idx < meta["total_candles"]:
        raise IndexError(target_idx)
    number = target_idx // meta["window_size"]
    part = package["windows"][number]
    start, first = part["start_idx"], part["kline"][0]["time"]
    base = _shown_at_first(package, number)
    return {
        "window_index": number,
        "start_idx": start,
        "end_idx": part["end_idx"],
        "kline": part["kline"],
        "draw_catalog_base": base,
        "draw_catalog_patch": [
            each for each in part["catalog_patch"] if each["visible_time"] > first
        ],
        "draw_active_checkpoints": _checkpoints(
            [each["instruction_id"] for each in base], part, meta["snapshot_interval"]
        ),
        "draw_active_diffs": [each for each in part["diffs"] if each["at_idx"] > start],
        "draw_points_base": _points_at_first(package, number, base),
        "draw_points": [each for each in part["points"] if each["at_idx"] > start],
    }


def _shown_at_first(package: Object, number: int) -> list[Object]:
    """The versions that the first bar of a window shows, by time and number."""
    part = package["windows"][number]
    catalog: dict[str, Object] = {}
    active: set[str] = set()
    for each in package["windows"][: number + 1]:
        for version in (*each["catalog_base"], *each["catalog_patch"]):
            if version["visible_time"] <= part["kline"][0]["time"]:
                catalog[version["instruction_id"]] = version
        for checkpoint in each["checkpoints"]:
            active.update(checkpoint["active_ids"])
        for diff in each["diffs"]:
            if diff["at_idx"] <= part["start_idx"]:
                active.difference_update(diff["remove_ids"])
                active.update(diff["add_ids"])
    shown = [catalog[name] for name in active]
    shown.sort(key=lambda each: (each["visible_time"], each["version_id"], each["instruction_id"]))
    return shown


def _points_at_first(package: Object, number: int, shown: Iterable[Object]) -> dict[str, list[Any]]:
    """The points that the first bar of a window shows, of the lines among `shown`."""
    first = package["windows"][number]["kline"][0]["time"]
    timeframe = SeriesId.parse(package["metadata"]["series_id"]).timeframe
    cutoff = window_start(first, package["window_candles"], timeframe)
    begins = {
        each["instruction_id"]: max(cutoff, each["definition"]["start"])
        for each in shown
        if each["kind"] == LINE
    }
    found: dict[str, list[Any]] = {name: [] for name in begins}
    for each in package["windows"][: number + 1]:
        grown = [(name, point) for name, held in each["points_base"].items() for point in held]
        for at in each["points"]:
            time = each["kline"][at["at_idx"] - each["start_idx"]]["time"]
            grown += [(name, [time, value]) for name, value in at["points"].items()]
        for name, point in grown:
            if name in begins and begins[name] <= point[0] <= first:
                found[name].append(point)
    return found


def _checkpoints(active_ids: Iterable[str], part: Object, interval: int) -> list[Object]:
    """The ids shown at the first bar of a window, and at every `interval`-th after it."""
    active = set(active_ids)
    diffs = {each["at_idx"]: each for each in part["diffs"]}
    found = []
    for place in range(part["start_idx"], part["end_idx"]):
        diff = diffs.get(place)
        if diff is not None and place > part["start_idx"]:
            active.difference_update(diff["remove_ids"])
            active.update(diff["add_ids"])
        if (place - part["start_idx"]) % interval == 0:
            found.append({"at_idx": place, "active_ids": sorted(active)})
    return found


def snapshot_rows(package: Object, number: int) -> Iterator[Object]:
    """The contract's rows of a window: a factor's whole snapshot at each bar that changed it.

    First the newest one of each factor before the window. A factor that has nothing to show any
    more has a row whose snapshot is null.
    """
    kline_rows = package["windows"][number]["kline"]
    first, series = kline_rows[0]["time"], SeriesId.parse(package["metadata"]["series_id"])
    before: dict[str, tuple[int, Slice | None]] = {}
    for row, seen in _slices(_rows(package, number)):
        name, time = row["factor_name"], row["candle_time"]
        if time < first:
            before[name] = time, seen
            continue
        yield from _baselines(series, before)
        yield _snapshot_row(series, name, time, seen)
    yield from _baselines(series, before)


def _baselines(series: SeriesId, before: dict[str, tuple[int, Slice | None]]) -> Iterator[Object]:
    """The newest rows before a window, once."""
    for name, (time, seen) in sorted(before.items(), key=lambda each: (each[1][0], each[0])):
        yield _snapshot_row(series, name, time, seen)
    before.clear()


def _snapshot_row(series: SeriesId, name: str, time: int, seen: Slice | None) -> Object:
    found = None if seen is None else snapshot(series, name, time, seen)
    return {"factor_name": name, "candle_time": time, "snapshot": found}


def changed_rows(package: Object, number: int) -> Object:
    """The slices of factors at the first bar of a window, and what the bars after it changed."""
    first = package["windows"][number]["kline"][0]["time"]
    rows = list(_rows(package, number))
    at_first: dict[str, Slice] = {}
    for row, seen in _slices(row for row in rows if row["candle_time"] <= first):
        if seen is None:
            at_first.pop(row["factor_name"], None)
        else:
            at_first[row["factor_name"]] = seen
    return {
        "factor_base": {
            name: {"history": seen.history, "head": seen.head}
            for name, seen in sorted(at_first.items())
        },
        "factor_changes": [row for row in rows if row["candle_time"] > first],
    }


def _rows(package: Object, number: int) -> Iterator[Object]:
    return (row for each in package["windows"][: number + 1] for row in each["factor_rows"])


def _slices(rows: Iterable[Object]) -> Iterator[tuple[Object, Slice | None]]:
    """Each row with the slice of its factor after it."""
    seen: dict[str, Slice | None] = {}
    for row in rows:
        name = row["factor_name"]
        seen[name] = apply_row(row, seen.get(name))
        yield row, seen[name]
