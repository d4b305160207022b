"""The answers about factors as the schema describes them; the views build plain JSON values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field


class WordsAnswer(BaseModel):
    """A label in one language, and a sentence about what it names."""

    label: str
    description: str | None = None


class LookAnswer(BaseModel):
    """How drawings are shown; what is absent is left to their instructions (docs/drawings.md)."""

    color: str | None = None
    width: float | None = None
    opacity: float | None = None
    dashed: Literal[True] | None = None
    fill_opacity: float | None = None
    area: Annotated[
        tuple[str, str] | None,
        Field(description="id endings of two lines: the upper and lower edge of a filled area"),
    ] = None
    layer: Annotated[
        int | None,
        Field(description="below 0: under the candles; above 0: over all else, higher ones last"),
    ] = None
    halo: Literal[True] | None = None
    unclipped: Literal[True] | None = None
    to_axis: Literal[True] | None = None
    name: Annotated[str | None, Field(description="stands at the axis, before the price")] = None
    momentary: Annotated[
        Literal[True] | None, Field(description="valid at the newest candle only")
    ] = None
    chained: Annotated[
        Literal[True] | None,
        Field(description="lines of one id continue each other from stretch to stretch"),
    ] = None


class SubFeatureAnswer(BaseModel):
    """A part of a factor's drawings that can be shown or hidden."""

    key: str
    label: str
    default_visible: bool


class FeatureAnswer(BaseModel):
    """How a feature is shown, and words about a factor or feature."""

    description: str | None = None
    look: LookAnswer | None = None
    variants: Annotated[
        dict[str, LookAnswer] | None,
        Field(description="looks on top, by the word after the feature in `instruction_id`"),
    ] = None
    translations: Annotated[
        dict[str, WordsAnswer] | None, Field(description="by language tag, such as `zh-CN`")
    ] = None
    package: Annotated[
        str | None, Field(description="of a factor from outside: its package with the version")
    ] = None
    instance_of: Annotated[
        str | None, Field(description="of an instance: the factor that runs under this name")
    ] = None


class FactorAnswer(BaseModel):
    """A factor that can be shown or hidden."""

    key: str
    label: str
    default_visible: bool
    sub_features: list[SubFeatureAnswer]


class CatalogAnswer(BaseModel):
    """The factors there are, every one behind those it depends on."""

    schema_version: Literal[1]
    factors: list[FactorAnswer]
    features: Annotated[
        dict[str, FeatureAnswer], Field(description="by key of a factor or of a sub-feature")
    ]


class FactorHealthAnswer(BaseModel):
    """How far the ledgers of a series are behind its candles; times in Unix seconds."""

    series_id: str
    timeframe_seconds: int
    store_head_time: int | None
    factor_head_time: int | None
    overlay_head_time: int | None
    factor_delay_seconds: int | None
    factor_delay_candles: int | None
    overlay_delay_seconds: int | None
    overlay_delay_candles: int | None
    max_delay_seconds: int | None
    max_delay_candles: int | None
    status: Literal["gray", "red", "yellow", "green"]
    status_reason: Literal[
        "no_store_head",
        "missing_factor_overlay_head",
        "missing_factor_head",
        "missing_overlay_head",
        "up_to_date",
        "lagging_one_candle",
        "lagging_many_candles",
    ]


class SliceMeta(BaseModel):
    """Which factor at which candle."""

    series_id: str
    epoch: Literal[0]
    at_time: int
    candle_id: str
    factor_name: str


class SliceAnswer(BaseModel):
    """One factor at one candle: facts that stay, and state that may still change."""

    schema_version: Literal[1]
    history: dict[str, list[Any]]
    head: dict[str, Any]
    meta: SliceMeta


class FactorSlicesAnswer(BaseModel):
    """The facts of each factor at a candle; empty when there is no candle that early."""

    schema_version: Literal[1]
    series_id: str
    at_time: Annotated[int, Field(description="the candle's time; without one, the time asked")]
    candle_id: str | None
    factors: list[str]
    snapshots: dict[str, SliceAnswer]


class EventAnswer(BaseModel):
    """A fact that became visible with a candle; `payload` has the fields of its kind."""

    id: Annotated[int, Field(description="grows with every event stored")]
    candle_time: int
    factor: str
    kind: str
    event_key: Annotated[str, Field(description="one of a kind among the factor's events")]
    payload: dict[str, Any]


NextCursor = Annotated[
    str | None,
    Field(description="`cursor` of the next page; null on the last. A page may be short, or empty"),
]


class FactorEventsAnswer(BaseModel):
    """A page of events, ascending by `candle_time` and `id`."""

    series_id: str
    epoch: Annotated[int, Field(description="revisions of the series, as `X-Series-Epoch`")]
    generation: Annotated[str, Field(description="as `X-Series-Generation`")]
    head_time: Annotated[
        int | None, Field(description="newest candle of the ledger; null before the first")
    ]
    events: list[EventAnswer]
    next_cursor: NextCursor


class FactorFeaturesAnswer(BaseModel):
    """A page of feature columns: one value in each for every candle."""

    series_id: str
    epoch: Annotated[int, Field(description="revisions of the series, as `X-Series-Epoch`")]
    generation: Annotated[str, Field(description="as `X-Series-Generation`")]
    head_time: Annotated[
        int | None, Field(description="newest candle of the ledger; null before the first")
    ]
    candle_time: Annotated[list[int], Field(description="open times, ascending")]
    columns: Annotated[
        dict[str, list[float | int | str | None]],
        Field(description="as long as `candle_time`; null: no such event with this candle"),
    ]
    next_cursor: NextCursor
