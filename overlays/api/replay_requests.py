"""What clients may ask of replay: one model for each query and body."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from factors.domain.slices import LONGEST_WINDOW
from market.api.errors import validation_error
from market.api.readable import readable_series
from market.api.requests import SeriesText, Time, no_boolean
from market.domain.series import SeriesId
from overlays.api.requests import Window

WINDOW_CANDLES = 2000
WINDOW_SIZE = 500
SNAPSHOT_INTERVAL = 25
LEAST_INTERVAL = 5
LEAST_PREPARED = 100
MOST_SERIES = 8

BodyTime = Annotated[
    Time | None,
    BeforeValidator(no_boolean),
    Field(description="open time of the last candle; absent: the newest"),
]


class PrepareBody(BaseModel):
    """A series that is to be replayed up to a time."""

    series_id: SeriesText
    to_time: BodyTime = None
    window_candles: Annotated[
        int | None, Field(ge=1, le=LONGEST_WINDOW), BeforeValidator(no_boolean)
    ] = None

    @property
    def candles(self) -> int:
        """How many candles a package of it will have at least."""
        return max(LEAST_PREPARED, self.window_candles or WINDOW_CANDLES)


class CoverageBody(BaseModel):
    """How many candles of a series shall be stored up to a time."""

    series_id: SeriesText
    target_candles: Annotated[int, Field(ge=1, le=5000), BeforeValidator(no_boolean)] = 2000
    to_time: BodyTime = None


class BuildBody(BaseModel):
    """Which candles a package has, and how it is cut."""

    series_id: SeriesText
    to_time: BodyTime = None
    window_candles: Annotated[
        int | None,
        Field(ge=1, le=LONGEST_WINDOW, description="candles of the package, and what each shows"),
        BeforeValidator(no_boolean),
    ] = None
    window_size: Annotated[
        int | None,
        Field(ge=1, le=2000, description="candles of one window"),
        BeforeValidator(no_boolean),
    ] = None
    snapshot_interval: Annotated[
        int | None,
        Field(ge=1, le=200, description="candles between two checkpoints, at least 5"),
        BeforeValidator(no_boolean),
    ] = None

    @property
    def candles(self) -> int:
        """Candles of the package."""
        return self.window_candles or WINDOW_CANDLES

    @property
    def size(self) -> int:
        """Candles of one window."""
        return self.window_size or WINDOW_SIZE

    @property
    def interval(self) -> int:
        """Candles between two checkpoints."""
        return max(LEAST_INTERVAL, self.snapshot_interval or SNAPSHOT_INTERVAL)


class StreamQuery(BaseModel):
    """A range of a series, and the further series that are replayed beside it."""

    series_id: SeriesText
    start: Annotated[
        Time, Field(alias="from", description="the answer begins with the last candle up to it")
    ]
    end: Annotated[
        Time | None,
        Field(alias="to", description="open time of the last candle; absent: the newest"),
    ] = None
    levels: Annotated[
        str,
        Field(
            max_length=600,
            description="further series, separated by commas: timeframes of the same symbol "
            "(`5m,1h`), or whole series ids",
        ),
    ] = ""
    window_candles: Window = WINDOW_CANDLES
    window_size: Annotated[
        int, Field(ge=1, le=2000, description="candles of each series in one line")
    ] = WINDOW_SIZE
    limit: Annotated[
        int,
        Field(ge=1, le=20_000, description="the answer ends after so many candles of all series"),
    ] = 5000
    factors: Annotated[bool, Field(description="with the slices of factors")] = False

    def series(self) -> tuple[SeriesId, ...]:
        """All series, that of `series_id` first. Blocking.

        Raises SeriesIdError and ApiError 422.
        """
        first = readable_series(self.series_id)
        found = {first: None}
        for level in filter(None, map(str.strip, self.levels.split(","))):
            whole = level if ":" in level else f"{self.series_id.rpartition(':')[0]}:{level}"
            found[readable_series(whole)] = None
        if len(found) > MOST_SERIES:
            text = f"List should have at most {MOST_SERIES} items"
            item = {"type": "too_long", "loc": ["query", "levels"], "msg": text}
            raise validation_error([item | {"input": self.levels[:200]}])
        return tuple(found)


class CoverageStatusQuery(BaseModel):
    """A coverage job."""

    job_id: Annotated[str, Field(min_length=1, max_length=500)]


class StatusQuery(BaseModel):
    """A build, and whether its last window is wanted with it."""

    job_id: Annotated[str, Field(min_length=1, max_length=500)]
    include_preload: Annotated[
        bool, Field(description="with the window that has the last candle")
    ] = False


class WindowQuery(BaseModel):
    """A window of a package, by one of its candles."""

    job_id: Annotated[str, Field(min_length=1, max_length=500)]
    target_idx: Annotated[int, Field(ge=0, description="place of a candle in the package")]
    factors: Annotated[
        Literal["snapshots", "changes", "none"],
        Field(
            description="whole snapshots of factors at each candle that changed them; the slices "
            "at the first candle and what the others change, some fifty times smaller; or none"
        ),
    ] = "snapshots"
