"""Debug events of reads of drawings (docs/debug-stream.md)."""

from __future__ import annotations

from typing import Any

from market.debug_events import emit
from overlays.api.draw_query import AT_TIME, DELTA, LIVE, POLL, DrawQuery
from overlays.reads import Answer, OutOfSync

NAMES = {
    DELTA: "read.http.draw_delta",
    LIVE: "read.http.world_frame_live",
    AT_TIME: "read.http.world_frame_at_time",
    POLL: "read.http.world_delta_poll",
}


def read_done(query: DrawQuery, found: Answer) -> None:
    """Emit the event of an answer that was read; of a delta only if it brings anything."""
    data = _data(query, found.body)
    if query.path == DELTA and not (
        data["patch_len"] or data["cursor_version_id"] != data["next_version_id"]
    ):
        return
    emit(NAMES[query.path], query.series, data)


def read_refused(query: DrawQuery, error: OutOfSync, code: str) -> None:
    """Emit the event of a read whose ledgers are behind, or disagree."""
    data = {
        "at_time": query.at_time,
        "code": code,
        # A read never draws anything itself, which the contract's other mode would.
        "strict_mode": True,
        "checks": [check._asdict() for check in error.checks],
    }
    name = f"{NAMES[query.path]}.overlay_out_of_sync"
    emit(name, query.series, data, message=code, level="warn")


def _data(query: DrawQuery, body: dict[str, Any]) -> dict[str, Any]:
    if query.path == DELTA:
        return {
            "cursor_version_id": query.cursor,
            "next_version_id": body["next_cursor"]["version_id"],
            "to_time": body["to_candle_time"],
            "patch_len": len(body["instruction_catalog_patch"]),
            "active_len": len(body["active_ids"]),
            "at_time": query.at_time,
        }
    if query.path == POLL:
        record = body["records"][0] if body["records"] else None
        return {
            "after_id": query.cursor,
            "next_id": body["next_cursor"]["id"],
            "to_candle_time": record and record["to_candle_time"],
            "has_record": record is not None,
        }
    time: dict[str, Any] = body["time"]
    return time
