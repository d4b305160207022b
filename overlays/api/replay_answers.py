"""The answers about replay packages as the schema describes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from overlays.api.answers import VersionAnswer

JobStatus = Literal["building", "done", "error"]


class PreparedAnswer(BaseModel):
    """Both ledgers have reached the candle at `aligned_time`."""

    ok: Literal[True]
    series_id: str
    requested_time: int
    aligned_time: int
    window_candles: int
    factor_head_time: int
    overlay_head_time: int
    computed: Annotated[bool, Field(description="whether something had to be computed")]


class CoverageBegunAnswer(BaseModel):
    """A coverage job that was begun, or was known."""

    status: JobStatus
    job_id: str
    error: str | None


class CoverageStatusAnswer(BaseModel):
    """How many candles of a coverage job are stored."""

    status: JobStatus
    job_id: str
    candles_ready: int
    required_candles: int
    head_time: int | None
    error: Annotated[str | None, Field(description="`coverage_missing`")]


class BuildAnswer(BaseModel):
    """A build that was begun, or was known; `job_id` and `cache_key` are the same."""

    status: JobStatus
    job_id: str
    cache_key: str


class KlineAnswer(BaseModel):
    """A candle; `time` is its open time."""

    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class CheckpointAnswer(BaseModel):
    """All that is shown at a candle."""

    at_idx: int
    active_ids: list[str]


class DiffAnswer(BaseModel):
    """What a candle adds to what is shown, and takes from it."""

    at_idx: int
    add_ids: list[str]
    remove_ids: list[str]


class PointsAnswer(BaseModel):
    """The points that lines gained with a candle, by id."""

    at_idx: int
    points: dict[str, float]


class ReplayWindow(BaseModel):
    """Consecutive candles of a package, and what is drawn at each of them."""

    window_index: int
    start_idx: int
    end_idx: Annotated[int, Field(description="exclusive")]
    kline: list[KlineAnswer]
    draw_catalog_base: Annotated[
        list[VersionAnswer], Field(description="what the first candle shows")
    ]
    draw_catalog_patch: Annotated[
        list[VersionAnswer],
        Field(description="later versions; at a candle those up to its time are valid"),
    ]
    draw_active_checkpoints: list[CheckpointAnswer]
    draw_active_diffs: list[DiffAnswer]
    draw_points_base: Annotated[
        dict[str, list[tuple[int, float]]],
        Field(description="the points of lines that the first candle shows"),
    ]
    draw_points: list[PointsAnswer]


class FactorSchemaAnswer(BaseModel):
    """The keys of a factor's history and head that occur in a package."""

    factor_name: str
    history_keys: list[str]
    head_keys: list[str]


class ReplayMetadata(BaseModel):
    """What a package has."""

    schema_version: Literal[1]
    series_id: str
    timeframe_s: int
    total_candles: int
    from_candle_time: int
    to_candle_time: int
    window_size: int
    snapshot_interval: int
    preload_offset: int
    idx_to_time: str
    factor_schema: list[FactorSchemaAnswer]


class StatusAnswer(BaseModel):
    """The state of a build; the rest is null until it is done."""

    status: JobStatus
    job_id: str
    cache_key: str
    error: str | None
    metadata: ReplayMetadata | None
    preload_window: ReplayWindow | None


class SnapshotRow(BaseModel):
    """The snapshot of a factor from a candle on; null: it has nothing to show any more."""

    factor_name: str
    candle_time: int
    snapshot: dict[str, Any] | None


class WindowAnswer(BaseModel):
    """A window; with `factors=changes` the last two fields, otherwise `factor_snapshots`."""

    job_id: str
    window: ReplayWindow
    factor_snapshots: list[SnapshotRow] | None = None
    factor_base: dict[str, Any] | None = None
    factor_changes: list[dict[str, Any]] | None = None


class StreamCandles(BaseModel):
    """Candles as columns; `time` is the open time.

    `close_time` is there for months and for candles of a time zone, whose length changes.
    """

    time: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]
    close_time: list[int] | None = None


class StreamDrawn(BaseModel):
    """A draw instruction as it is shown from a bar on."""

    instruction_id: str
    definition: dict[str, Any]


class StreamChange(BaseModel):
    """What a bar changes; what it does not change is left out."""

    at: Annotated[int, Field(description="place of the bar among the candles of the line")]
    draw: list[StreamDrawn] | None = None
    points: Annotated[
        dict[str, float] | None, Field(description="the point that a line gains at the bar, by id")
    ] = None
    remove: Annotated[list[str] | None, Field(description="ids that are shown no more")] = None


class StreamSeries(BaseModel):
    """One series in a line: in the first all that it shows, in a window what its bars change."""

    series_id: str | None = None
    timeframe_s: int | None = None
    time: Annotated[int | None, Field(description="the bar that is shown; null: none yet")] = None
    candles: StreamCandles
    draw: list[StreamDrawn] | None = None
    points: dict[str, list[tuple[int, float]]] | None = None
    factors: dict[str, Any] | None = None
    changes: list[StreamChange] | None = None
    factor_changes: list[dict[str, Any]] | None = None


class StreamLine(BaseModel):
    """One line of a replay."""

    type: Annotated[
        Literal["start", "window", "end", "revised", "error"],
        Field(
            description="`revised`: the past changed, begin again; without one of the last three "
            "the answer was cut"
        ),
    ]
    schema_version: Literal[1] | None = None
    clock: Annotated[
        int | None, Field(description="up to when candles have closed (Unix seconds)")
    ] = None
    window_candles: int | None = None
    series: list[StreamSeries] | None = None
    next_from: Annotated[
        int | None, Field(description="of `end`: `from` of the request that continues; null: none")
    ] = None
    code: str | None = None
