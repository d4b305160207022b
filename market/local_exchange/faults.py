"""The faults that the exchange can simulate, and which of them apply when and to what."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from market.local_exchange.candles import MARKETS, Listing, TickCandle, floor_to


class FaultError(ValueError):
    """An invalid request for a fault; the text gives the reason."""


class Kind(StrEnum):
    """The kinds of faults."""

    DROP_CONNECTIONS = "drop_connections"
    DELAY = "delay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    OMIT = "omit"
    REVISE = "revise"
    SILENT = "silent"
    REST_STATUS = "rest_status"
    CLOCK_SKEW = "clock_skew"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a fault applies to; None stands for all."""

    market: str | None = None
    symbol: str | None = None
    interval: str | None = None

    def covers(self, market: str, symbol: str | None, interval: str | None) -> bool:
        """Whether it includes this market, symbol and interval (None: unknown)."""
        return all(
            mine is None or mine == theirs
            for mine, theirs in (
                (self.market, market),
                (self.symbol, symbol),
                (self.interval, interval),
            )
        )


@dataclass(frozen=True, slots=True)
class Request:
    """A requested fault. Times are seconds unless the name says milliseconds.

    `count` ends a duplicate, reorder or rest_status fault after so many uses; `duration_s` ends any
    fault by the real clock. `candle_times`, `next` and `last` select candles: by open time, the
    forming one and those after it, or the newest closed ones.
    """

    kind: Kind
    scope: Scope = Scope()
    duration_s: float | None = None
    count: int | None = None
    delay_ms: int = 0
    target: str = "all"
    times: int = 2
    candle_times: tuple[int, ...] = ()
    next: int = 0
    last: int = 0
    rest: bool = False
    factor: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    push: bool = False
    status: int = 503
    retry_after_s: int | None = None
    abort: bool = False
    skew_ms: int = 0


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
        if open_ms // 1000 in request.candle_times:
            return True
        began_ms = floor_to(self.since_ms, interval_ms)
        ahead, behind = request.next * interval_ms, request.last * interval_ms
        return began_ms - behind <= open_ms < began_ms + ahead

    def revised(self, candle: TickCandle, listing: Listing) -> TickCandle:
        """The candle with the fault's factor and values applied, and its range widened to fit."""
        request = self.request
        scaled = [round(ticks * (request.factor or 1.0)) for ticks in candle[:4]]
        given = [
            round(request.values[name] * 10**listing.price_decimals)
            if name in request.values
            else ticks
            for name, ticks in zip(TickCandle._fields[:4], scaled, strict=True)
        ]
        volume = candle.volume
        if "volume" in request.values:
            volume = round(request.values["volume"] * 10**listing.volume_decimals)
        return TickCandle(given[0], max(given), min(given), given[3], volume)

    def as_object(self) -> dict[str, object]:
        """The fault as the control endpoint shows it: its request and what remains of it."""
        plain = Request(self.request.kind)
        asked = {
            item.name: getattr(self.request, item.name)
            for item in fields(Request)
            if item.name not in ("kind", "scope")
            and getattr(self.request, item.name) != getattr(plain, item.name)
        }
        scope = self.request.scope
        left = None if self.expires is None else max(0.0, self.expires - time.monotonic())
        return {
            "id": self.number,
            "kind": self.request.kind.value,
            "scope": {"market": scope.market, "symbol": scope.symbol, "interval": scope.interval},
            **asked,
            "remaining": self.remaining,
            "expires_in_s": left,
        }


class FaultBook:
    """The active faults, in the order in which they were set."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._faults: dict[int, Fault] = {}
        self._numbers = itertools.count(1)
        self._monotonic = monotonic

    def add(self, request: Request, *, now_ms: int) -> Fault:
        """Set a fault; `now_ms` is the exchange's time."""
        expires = None if request.duration_s is None else self._monotonic() + request.duration_s
        fault = Fault(next(self._numbers), request, now_ms, expires, request.count)
        self._faults[fault.number] = fault
        return fault

    def clear(self, number: int | None = None) -> int:
        """Clear one fault, or all; return how many were cleared."""
        numbers = list(self._faults) if number is None else [number]
        return sum(self._faults.pop(one, None) is not None for one in numbers)

    def all(self) -> list[Fault]:
        """The active faults."""
        for fault in list(self._faults.values()):
            expired = fault.expires is not None and fault.expires <= self._monotonic()
            if expired or fault.remaining == 0:
                del self._faults[fault.number]
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


def parse_request(body: object) -> Request:
    """Parse a request for a fault from decoded JSON; raises FaultError."""
    if not isinstance(body, dict):
        raise FaultError("a JSON object is expected")
    values = dict(body)
    kind = values.pop("kind", None)
    if kind not in list(Kind):
        raise FaultError(f"kind must be one of {', '.join(Kind)}")
    scope = _parse_scope(values.pop("scope", {}))
    checked = {name: _parse_field(name, value) for name, value in values.items()}
    request = Request(Kind(kind), scope, **checked)
    _check_whole(request)
    return request


def _parse_scope(body: object) -> Scope:
    if not isinstance(body, dict) or not set(body) <= {"market", "symbol", "interval"}:
        raise FaultError("scope takes market, symbol and interval")
    if not all(value is None or isinstance(value, str) for value in body.values()):
        raise FaultError("scope takes texts")
    scope = Scope(**body)
    if scope.market not in (None, *MARKETS):
        raise FaultError(f"scope.market must be one of {', '.join(MARKETS)}")
    return scope


def _number(low: float, high: float) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise FaultError("a number is expected")
        if not low <= value <= high:
            raise FaultError(f"must lie within {low:g}..{high:g}")
        return value

    return parse


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise FaultError("a whole number is expected")
        return int(_number(low, high)(value))

    return parse


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise FaultError("true or false is expected")
    return value


def _target(value: Any) -> str:
    if value not in ("streams", "rest", "all"):
        raise FaultError("must be streams, rest or all")
    return str(value)


def _times(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > 10_000:
        raise FaultError("a list of at most 10000 times is expected")
    return tuple(map(_whole(0, 10**11), value))


def _values(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or not set(value) <= set(TickCandle._fields):
        raise FaultError(f"takes {', '.join(TickCandle._fields)}")
    return {name: _number(0, 1e15)(number) for name, number in value.items()}


_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "duration_s": _number(0, 86_400),
    "count": _whole(1, 10**9),
    "delay_ms": _whole(0, 600_000),
    "target": _target,
    "times": _whole(2, 100),
    "candle_times": _times,
    "next": _whole(0, 10**6),
    "last": _whole(0, 10**6),
    "rest": _flag,
    "factor": _number(1e-6, 1e6),
    "values": _values,
    "push": _flag,
    "status": _whole(400, 599),
    "retry_after_s": _whole(0, 86_400),
    "abort": _flag,
    "skew_ms": _whole(-86_400_000, 86_400_000),
}


def _parse_field(name: str, value: object) -> Any:
    if name not in _FIELDS:
        raise FaultError(f"{name} is not known")
    try:
        return _FIELDS[name](value)
    except FaultError as error:
        raise FaultError(f"{name}: {error}") from None


# The fields that a kind needs, and their names for the error message.
_NEEDS: Mapping[Kind, tuple[Callable[[Request], object], str]] = {
    Kind.DELAY: (lambda request: request.delay_ms, "delay_ms"),
    Kind.OMIT: (lambda request: request.candle_times or request.next, "candle_times or next"),
    Kind.REVISE: (
        lambda request: (
            (request.candle_times or request.last) and (request.factor or request.values)
        ),
        "candle_times or last, and factor or values",
    ),
    Kind.SILENT: (lambda request: request.duration_s, "duration_s"),
    Kind.REST_STATUS: (
        lambda request: request.duration_s or request.count,
        "duration_s or count",
    ),
    Kind.CLOCK_SKEW: (lambda request: request.skew_ms, "skew_ms"),
}


def _check_whole(request: Request) -> None:
    needs = _NEEDS.get(request.kind)
    if needs is not None and not needs[0](request):
        raise FaultError(f"{request.kind} needs {needs[1]}")
