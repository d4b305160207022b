"""Asking for packages, and reading them back as a client of the written contract does."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.test import AsyncClient

from overlays.api.tests.drawn import SERIES
from overlays.replay.tests.states import pruned

PREPARE = "/api/replay/prepare"
ENSURE = "/api/replay/ensure_coverage"
COVERAGE = "/api/replay/coverage_status"
BUILD = "/api/replay/build"
STATUS = "/api/replay/status"
WINDOW = "/api/replay/window"


def built(api, **given):
    """The key of a package that was built."""
    answer = api.post(BUILD, {"series_id": SERIES, **given})
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert body["job_id"] == body["cache_key"]
    return body["job_id"]


def streamed(path, *, encoding="identity", **query):
    """A streamed answer, and its whole body."""

    async def ask():
        response = await AsyncClient().get(path, query, headers={"accept-encoding": encoding})
        if not response.streaming:
            return response, response.content
        return response, b"".join([chunk async for chunk in response.streaming_content])

    return async_to_sync(ask)()


class Player:
    """The state at each bar of a package, by the rules of the contract."""

    def __init__(self, api, key):
        self.api, self.key = api, key
        meta = self.get(STATUS)["metadata"]
        self.total, self.size = meta["total_candles"], meta["window_size"]
        self.meta = meta

    def get(self, path, **query):
        response = self.api.get(path, job_id=self.key, **query)
        assert response.status_code == 200, response.content
        return response.json()

    def states(self, *, window):
        """The time and state at each bar, definitions, points and slices."""
        for target in range(0, self.total, self.size):
            found = self.get(WINDOW, target_idx=target, factors="changes")
            yield from states_of(found, window * self.meta["timeframe_s"])


def states_of(found, reach):
    """The time and state at each bar of a window."""
    shown = found["window"]
    catalog = {each["instruction_id"]: each["definition"] for each in shown["draw_catalog_base"]}
    points = {name: dict(map(tuple, held)) for name, held in shown["draw_points_base"].items()}
    grown = {each["at_idx"]: each["points"] for each in shown["draw_points"]}
    patch = iter([*shown["draw_catalog_patch"], None])
    version = next(patch)
    slices = Slices(found)
    for place, candle in enumerate(shown["kline"], shown["start_idx"]):
        time = candle["time"]
        while version is not None and version["visible_time"] <= time:
            catalog[version["instruction_id"]] = version["definition"]
            version = next(patch)
        for name, value in grown.get(place, {}).items():
            points.setdefault(name, {})[time] = value
        active = {name: catalog[name] for name in active_at(shown, place)}
        drawn = pruned(points, active, max(0, time - reach))
        yield (
            time,
            [
                active,
                {name: list(map(list, held)) for name, held in drawn.items()},
                slices.at(time),
            ],
        )


def active_at(window, place):
    """The reconstruction that the contract describes."""
    checkpoint = [each for each in window["draw_active_checkpoints"] if each["at_idx"] <= place][-1]
    active = set(checkpoint["active_ids"])
    for diff in window["draw_active_diffs"]:
        if checkpoint["at_idx"] < diff["at_idx"] <= place:
            active = (active - set(diff["remove_ids"])) | set(diff["add_ids"])
    return sorted(active)


class Slices:
    """The slices of factors, from their base and the changes of each bar."""

    def __init__(self, found):
        self.seen = found["factor_base"]
        self.changes = iter([*found["factor_changes"], None])
        self.next = next(self.changes)

    def at(self, time):
        """The slices at a bar; bars must come in order."""
        while self.next is not None and self.next["candle_time"] <= time:
            self.apply(self.next)
            self.next = next(self.changes)
        return dict(self.seen)

    def apply(self, row):
        """As docs/replay.md describes it."""
        name = row["factor_name"]
        if row.get("gone"):
            self.seen.pop(name, None)
            return
        before = self.seen.get(name, {"history": {}, "head": {}})
        history = dict(before["history"])
        for key, splices in row.get("history", {}).items():
            history[key] = list(history.get(key, ()))
            for start, deleted, items in splices:
                history[key][start : start + deleted] = items
        head = before["head"]
        if "head" in row:
            head = row["head"]
        elif "head_of" in row:
            head = {
                key: value
                for key, value in history[row["head_of"]][-1].items()
                if key != "visible_time"
            }
        for path, value in row.get("head_set", ()):
            head = with_value(head, path, value)
        self.seen = self.seen | {name: {"history": history, "head": head}}


def with_value(value, path, new):
    if not path:
        return new
    copied = value.copy()
    copied[path[0]] = with_value(copied[path[0]], path[1:], new)
    return copied
