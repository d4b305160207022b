"""The answers about drawings and frames as the schema describes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from factors.api.answers import FactorSlicesAnswer

Slices = Annotated[
    FactorSlicesAnswer | None, Field(description="left out where the request says so")
]


class PointAnswer(BaseModel):
    """A corner of a line: open time in Unix seconds (UTC) and price."""

    time: int
    value: float


class MarkerAnswer(BaseModel):
    """A mark above or below a candle."""

    type: Literal["marker"]
    feature: str
    time: int
    position: Literal["aboveBar", "belowBar"]
    color: str
    shape: Literal["circle", "arrowUp", "arrowDown"]
    text: str
    size: float


class PolylineAnswer(BaseModel):
    """A line through at least two points, ascending in time.

    With `extendRight` it goes on level from its last point to the newest candle.
    """

    type: Literal["polyline"]
    feature: str
    points: list[PointAnswer]
    color: str
    lineWidth: int
    lineStyle: Annotated[Literal["dashed"] | None, Field(description="absent: solid")] = None
    entryDirection: Literal[1, -1] | None = None
    extendRight: Literal[True] | None = None


Ink = Annotated[
    str,
    Field(
        description="a CSS colour, or an ink that each theme shows in its own shade: `text`, "
        "`muted`, `up`, `down`, `blue`, `teal`, `violet`, `pink`, `amber`"
    ),
]
Title = Annotated[str | None, Field(description="what it is, for the pointer on it")]


class BoxAnswer(BaseModel):
    """A rectangle between two times and two prices; with `extendRight` to the newest candle."""

    type: Literal["box"]
    feature: str
    start: int
    end: int
    top: float
    bottom: float
    color: Ink
    lineWidth: int
    fill: Annotated[Ink | None, Field(description="absent: a light shade of `color`")] = None
    lineStyle: Annotated[Literal["dashed"] | None, Field(description="absent: solid")] = None
    extendRight: Literal[True] | None = None
    title: Title = None


class LabelAnswer(BaseModel):
    """A text at a time and price."""

    type: Literal["label"]
    feature: str
    time: int
    value: float
    text: str
    color: Ink
    place: Literal["above", "center", "below"]
    title: Title = None


class LineAnswer(BaseModel):
    """The look of a line that grows by at most one point with each candle.

    Its points are in `series_points`. A new version ends those held from its `visible_time` on;
    points before `start` belong to an earlier line of this id. With `end` it gets no more points.
    """

    type: Literal["line"]
    feature: str
    start: int
    end: int | None = None
    color: Ink
    lineWidth: int
    lineStyle: Annotated[Literal["dashed"] | None, Field(description="absent: solid")] = None
    title: Title = None


class WithdrawnAnswer(BaseModel):
    """An empty definition: from this version on there is nothing to draw."""

    model_config = ConfigDict(extra="forbid")


class VersionAnswer(BaseModel):
    """A version of a draw instruction; of one `instruction_id` the greatest number counts."""

    version_id: int
    instruction_id: str
    kind: Literal["marker", "polyline", "box", "label", "line"]
    visible_time: Annotated[int, Field(description="the candle with which it appeared")]
    definition: (
        MarkerAnswer | PolylineAnswer | BoxAnswer | LabelAnswer | LineAnswer | WithdrawnAnswer
    )


class DrawCursor(BaseModel):
    """What to give as `cursor_version_id` next; a cursor never skips a version."""

    version_id: Annotated[
        int,
        Field(
            description="the greatest number visible at `to_candle_time`, or the last one sent "
            "when more are behind the cursor than one answer carries"
        ),
    ]
    point_time: None = None


class DrawDeltaAnswer(BaseModel):
    """What is drawn at a candle, and the versions behind the cursor.

    Apply the patch (the newest version of an instruction wins), then the points, then show exactly
    `active_ids`.
    """

    schema_version: Literal[1]
    series_id: str
    to_candle_id: str | None
    to_candle_time: int | None
    active_ids: list[str]
    instruction_catalog_patch: list[VersionAnswer]
    series_points: Annotated[
        dict[str, list[tuple[int, float]]],
        Field(description="new points of lines by `instruction_id`, ascending: time and price"),
    ]
    next_cursor: DrawCursor


class FrameTime(BaseModel):
    """The time asked for, and the candle shown for it."""

    at_time: int
    aligned_time: int
    candle_id: str


class FrameAnswer(BaseModel):
    """Factors and drawings of a series at one candle."""

    schema_version: Literal[1]
    series_id: str
    time: FrameTime
    factor_slices: Slices = None
    draw_state: DrawDeltaAnswer


class PollRecord(BaseModel):
    """What changed since the record before."""

    id: Annotated[
        int,
        Field(
            description="the number of the newest batch of candles: greater than the number of "
            "every version in it, so it does as a draw cursor too. `draw_delta.next_cursor` keeps "
            "to version numbers and may be smaller"
        ),
    ]
    series_id: str
    to_candle_id: str
    to_candle_time: int
    draw_delta: DrawDeltaAnswer
    factor_slices: Slices = None


class PollCursor(BaseModel):
    """What to give as `after_id` next."""

    id: int


class PollAnswer(BaseModel):
    """One record whenever something was stored since `after_id`, even if no drawing changed."""

    schema_version: Literal[1]
    series_id: str
    records: Annotated[list[PollRecord], Field(max_length=1)]
    next_cursor: PollCursor


class RepairedAnswer(BaseModel):
    """The drawings were made again; the heads are the newest candle of each ledger."""

    ok: Literal[True]
    series_id: str
    requested_time: int
    aligned_time: int
    factor_head_time: int
    overlay_head_time: int
    refreshed: Literal[True]
    steps: list[str]
