"""What the hub sends of drawings: implements market.live.drawings.ReadDrawn."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from django.conf import settings

from factors.lazy_json import as_json
from market.domain.series import SeriesId
from market.live.drawings import Drawn, DrawnAt
from market.live.messages import DrawnChange
from market.runtime import candle_store
from market.singletons import once
from overlays.domain.delta import parted
from overlays.runtime import overlay_ledger
from overlays.stores.changes import Changes, ChangesReader, Known, MemoryChanges, PostgresChanges

WINDOW_CANDLES = 2000
"""What is sent is for a window of so many candles: the default of the API."""

# A client that lacks more than this reads over HTTP, compressed.
MOST_VERSIONS = 500
MOST_BYTES = 64 * 1024


@once
def changes_reader() -> ChangesReader:
    """Reads changes from this process's stores."""
    if settings.SWITCHES.enable_pg_store:
        return PostgresChanges()
    return MemoryChanges(candle_store(), overlay_ledger())


def read_drawn(known: Mapping[SeriesId, DrawnAt | None]) -> Mapping[SeriesId, Drawn]:
    """What is drawn of series now, and the changes that lead there from what is known."""
    found = changes_reader().read(
        {
            series: None if at is None else Known(at.cursor, at.to_time, at.takebacks)
            for series, at in known.items()
        },
        window=WINDOW_CANDLES,
        limit=MOST_VERSIONS,
    )
    return {series: _drawn(changes, known[series]) for series, changes in found.items()}


def _drawn(changes: Changes, known: DrawnAt | None) -> Drawn:
    (candles, drawn), versions, removed = changes
    if drawn is None or drawn.position.head_time != candles.head:
        return Drawn(None)
    position = drawn.position
    if position.epoch != candles.epoch:
        return Drawn(None)
    at = DrawnAt(
        drawn.tick_id, position.head_time, position.epoch, candles.generation, drawn.takebacks
    )
    if versions is None or known is None or known.generation != at.generation:
        return Drawn(at)
    if len(versions) > MOST_VERSIONS:
        return Drawn(at)
    instructions, points = parted(versions)
    patch = as_json([version.as_object() for version in instructions])
    grown = as_json(points)
    if len(patch) + len(grown) > MOST_BYTES:
        return Drawn(at)
    change: DrawnChange = {
        "removed_ids": removed,
        "instruction_catalog_patch": orjson.Fragment(patch),
    }
    if points:
        change["series_points"] = orjson.Fragment(grown)
    return Drawn(at, change)
