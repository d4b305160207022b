"""The faults and habits that the exchange can simulate, and which apply when and to what."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from market.local_exchange.candles import Listing, SeriesKey, TickCandle, floor_to

Column = Literal["open", "high", "low", "close", "volume"]


class FaultError(ValueError):
    """An invalid request for a fault; the text gives the reason."""


class Kind(StrEnum):
    """The kinds of faults, and of habits: what an exchange does all the time."""

    DROP_CONNECTIONS = "drop_connections"
    DELAY = "delay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    OMIT = "omit"
    REVISE = "revise"
    SILENT = "silent"
    REST_STATUS = "rest_status"
    FLOOD = "flood"
    CLOCK_SKEW = "clock_skew"

    QUIET = "quiet"
    LATE_LISTING = "late_listing"
    HALT = "halt"
    GRID = "grid"
    SHORT_PAGES = "short_pages"
    NEWEST_ONLY = "newest_only"
    REFUSE_OLD = "refuse_old"
    UNUSABLE = "unusable"
    BAD_ROWS = "bad_rows"
    LATE_CORRECTION = "late_correction"
    SUBSCRIPTION_LIMIT = "subscription_limit"


class Scope(BaseModel):
    """What a fault applies to; None stands for all."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    market: Literal["spot", "futures"] | None = None
    symbol: str | None = None
    interval: str | None = None

    def covers(self, market: str, symbol: str | None, interval: str | None) -> bool:
        """Whether it includes this market, symbol and interval (None: unknown)."""
        return (
            self.market in (None, market)
            and self.symbol in (None, symbol)
            and self.interval in (None, interval)
        )


_HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,60}$")]
_HeaderValue = Annotated[str, Field(pattern=r"^[ -~]{0,200}$")]
_Moment = Annotated[int, Field(ge=0, le=10**11)]


class Request(BaseModel):
    """A requested fault. Times are seconds unless the name says milliseconds.

    `count` ends a duplicate, reorder, rest_status, flood or unusable fault after so many uses;
    `duration_s` ends any fault by the real clock. `candle_times`, `span` (both ends inclusive),
    `next`, `last` and `every` select candles: by open time, the forming one and those after it, the
    newest closed ones, or each n-th of all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: Annotated[Kind, Field(strict=False)]
    scope: Scope = Scope()
    duration_s: Annotated[float, Field(ge=0, le=86_400)] | None = None
    count: Annotated[int, Field(ge=1, le=10**9)] | None = None
    delay_ms: int = Field(0, ge=0, le=600_000)
    target: Literal["streams", "rest", "all"] = "all"
    times: int = Field(2, ge=2, le=100)
    candle_times: list[_Moment] = Field([], max_length=10_000)
    next: int = Field(0, ge=0, le=10**6)
    last: int = Field(0, ge=0, le=10**6)
    every: int = Field(0, ge=0, le=10**6)
    span: tuple[_Moment, _Moment] | None = Field(None, strict=False)
    rest: bool = False
    factor: Annotated[float, Field(ge=1e-6, le=1e6)] | None = None
    values: dict[Column, Annotated[float, Field(ge=0, le=1e15)]] = {}
    push: bool = False
    status: int = Field(503, ge=400, le=599)
    retry_after_s: Annotated[int, Field(ge=0, le=86_400)] | None = None
    abort: bool = False
    megabytes: int = Field(0, ge=0, le=10_000)
    gzip: bool = False
    skew_ms: int = Field(0, ge=-86_400_000, le=86_400_000)
    body: str | None = Field(None, max_length=10_000)
    headers: dict[_HeaderName, _HeaderValue] = Field({}, max_length=10)
    every_s: int = Field(0, ge=0, le=10**9)
    for_s: int = Field(0, ge=0, le=10**9)
    at: _Moment = 0
    offset_s: int = Field(0, ge=0, le=10**6)
    most: int = Field(0, ge=0, le=10_000)
    keep: Literal["oldest", "newest"] = "oldest"
    bars: int = Field(0, ge=0, le=10**6)
    answer: Literal["empty", "null", "maintenance"] = "empty"
    row: Literal["zeros", "nulls", "other_unit", "dust"] | None = None
    unanswered: bool = False

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        """Require the fields without which a fault of this kind has no effect or no end."""
        selects = bool(self.candle_times or self.span or self.next or self.last or self.every)
        needed, names = {
            Kind.DELAY: (self.delay_ms, "delay_ms"),
            Kind.OMIT: (selects, _SELECTION),
            Kind.REVISE: (
                selects and (self.factor or self.values),
                f"{_SELECTION}, and factor or values",
            ),
            Kind.SILENT: (self.duration_s, "duration_s"),
            Kind.REST_STATUS: (self.duration_s or self.count, "duration_s or count"),
            Kind.FLOOD: (self.megabytes, "megabytes"),
            Kind.CLOCK_SKEW: (self.skew_ms, "skew_ms"),
            Kind.QUIET: (
                selects or 0 < self.for_s < self.every_s,
                f"{_SELECTION}, or a for_s below every_s",
            ),
            Kind.LATE_LISTING: (self.at, "at"),
            Kind.GRID: (self.offset_s, "offset_s"),
            Kind.SHORT_PAGES: (self.most, "most"),
            Kind.NEWEST_ONLY: (self.bars, "bars"),
            Kind.REFUSE_OLD: (self.bars, "bars"),
            Kind.UNUSABLE: (
                self.span or self.count or self.duration_s,
                "span, count or duration_s",
            ),
            Kind.BAD_ROWS: (selects and self.row, f"{_SELECTION}, and row"),
            Kind.LATE_CORRECTION: (
                self.bars and (self.factor or self.values),
                "bars, and factor or values",
            ),
            Kind.SUBSCRIPTION_LIMIT: (self.most, "most"),
        }.get(self.kind, (True, ""))
        if not needed:
            raise ValueError(f"{self.kind} needs {names}")
        return self


_SELECTION = "candle_times, span, next, last or every"


def parse_request(body: object) -> Request:
    """Parse a request for a fault from decoded JSON; raises FaultError."""
    try:
        return Request.model_validate(body)
    except ValidationError as error:
        reasons = (".".join(map(str, one["loc"])) + ": " + one["msg"] for one in error.errors())
        raise FaultError("; ".join(reasons)) from None


@dataclass(slots=True)
class Fault:
    """An active fault; `since_ms` is the exchange's time when it began."""

    number: int
    request: Request
    since_ms: int
    expires: float | None
    # Counts down with every use; None never runs out.
    remaining: int | None

    def chooses(self, open_ms: int, interval_ms: int) -> bool:
        """Whether the fault applies to the candle that opens at `open_ms`."""
        request = self.request
        open_s = open_ms // 1000
        if open_s in request.candle_times:
            return True
        if request.span is not None and request.span[0] <= open_s <= request.span[1]:
            return True
        if request.every and open_ms // interval_ms % request.every == 0:
            return True
        began_ms = floor_to(self.since_ms, interval_ms)
        ahead, behind = request.next * interval_ms, request.last * interval_ms
        return began_ms - behind <= open_ms < began_ms + ahead

    def revised(self, candle: TickCandle, listing: Listing) -> TickCandle:
        """The candle with the fault's factor and values applied, and its range widened to fit."""
        request = self.request
        scaled = [round(ticks * (request.factor or 1.0)) for ticks in candle[:4]]
        prices = dict(zip(TickCandle._fields[:4], scaled, strict=True))
        for name, value in request.values.items():
            if name in prices:
                prices[name] = round(value * 10**listing.price_decimals)
        given = list(prices.values())
        volume = candle.volume
        if "volume" in request.values:
            volume = round(request.values["volume"] * 10**listing.volume_decimals)
        return TickCandle(given[0], max(given), min(given), given[3], volume)

    def as_object(self) -> dict[str, object]:
        """The fault as the control endpoint shows it: its request and what remains of it."""
        left = None if self.expires is None else max(0.0, self.expires - time.monotonic())
        return {
            "id": self.number,
            "kind": self.request.kind.value,
            "scope": self.request.scope.model_dump(),
            **self.request.model_dump(exclude={"kind", "scope"}, exclude_defaults=True),
            "remaining": self.remaining,
            "expires_in_s": left,
        }


class FaultBook:
    """The active faults, in the order in which they were set."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._faults: dict[int, Fault] = {}
        self._numbers = itertools.count(1)
        self._monotonic = monotonic
        self.version = 0
        """Increases with every change of the active faults."""

    def add(self, request: Request, *, now_ms: int) -> Fault:
        """Set a fault; `now_ms` is the exchange's time."""
        expires = None if request.duration_s is None else self._monotonic() + request.duration_s
        fault = Fault(next(self._numbers), request, now_ms, expires, request.count)
        self._faults[fault.number] = fault
        self.version += 1
        return fault

    def clear(self, number: int | None = None) -> int:
        """Clear one fault, or all; return how many were cleared."""
        numbers = list(self._faults) if number is None else [number]
        self.version += 1
        return sum(self._faults.pop(one, None) is not None for one in numbers)

    def all(self) -> list[Fault]:
        """The active faults."""
        for fault in list(self._faults.values()):
            expired = fault.expires is not None and fault.expires <= self._monotonic()
            if expired or fault.remaining == 0:
                del self._faults[fault.number]
                self.version += 1
        return list(self._faults.values())

    def of(
        self, kind: Kind, market: str, symbol: str | None = None, interval: str | None = None
    ) -> Iterator[Fault]:
        """The faults of a kind that apply to a market, a symbol in it, or a series."""
        if not self._faults:
            return
        for fault in self.all():
            if fault.request.kind is kind and fault.request.scope.covers(market, symbol, interval):
                yield fault

    def of_series(self, key: SeriesKey) -> tuple[Fault, ...]:
        """The faults of all kinds that apply to a series."""
        if not self._faults:
            return ()
        return tuple(fault for fault in self.all() if fault.request.scope.covers(*key))

    def first(
        self, kind: Kind, market: str, symbol: str | None = None, interval: str | None = None
    ) -> Fault | None:
        """The oldest of those faults, if there is one."""
        return next(self.of(kind, market, symbol, interval), None)

    def use(
        self, kind: Kind, market: str, symbol: str | None = None, interval: str | None = None
    ) -> Fault | None:
        """The oldest of those faults, with its count decremented."""
        fault = self.first(kind, market, symbol, interval)
        if fault is not None and fault.remaining is not None:
            fault.remaining -= 1
        return fault

    def delay_s(self, target: str, market: str, symbol: str | None, interval: str | None) -> float:
        """The delay of `target` (streams, rest) in seconds."""
        delays = (
            fault.request.delay_ms
            for fault in self.of(Kind.DELAY, market, symbol, interval)
            if fault.request.target in (target, "all")
        )
        return sum(delays) / 1000
