"""Finds look-ahead: values at a candle that depend on later candles.

    python -m trade_canvas_factors.lookahead                         all factors of the package
    python -m trade_canvas_factors.lookahead my_factors:SPEC         a factor
    python -m trade_canvas_factors.lookahead my_strategy:indicators  a function from frame to frame

With `--candles FILE.csv` over your candles, otherwise over invented ones.
"""

from __future__ import annotations

import csv
import json
import random
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from factors.domain.all_factors import FACTORS
from factors.domain.graph import FactorSpec
from market.domain.candle import Candle
from market.domain.timeframe import Timeframe
from trade_canvas_factors.candles import candles_of, times_of
from trade_canvas_factors.engine import Engine, Run
from trade_canvas_factors.frames import columns_of, first_rows, frame_of
from trade_canvas_factors.prefixes import (
    TOLERANCE,
    Columns,
    Compute,
    PrefixError,
    Report,
    compare,
)
from trade_canvas_factors.server_names import use_server_names

FrameFunction = Callable[[Any], Any]

CLEAN, FOUND, UNUSABLE = 0, 1, 2
"""Exit statuses of the command."""

INVENTED = 300
"""Candles that are invented where no file is given."""

SMALL = {"pivot": {"window_major": 4, "window_minor": 2}}
"""Windows with which a few hundred candles give facts of every kind."""


def check(
    function: FrameFunction | str,
    frame: Any,
    *,
    every: int = 1,
    warm_up: int = 1,
    tolerance: float = TOLERANCE,
) -> Report:
    """Check a function from a frame of candles to a frame, a series or a sequence.

    `frame` is a pandas or polars frame with open times in a column or index (see `candles_of`). The
    function gets its own copy of the first rows each time, and returns a row for each. Named as
    ``module:function`` it is also imported anew for a run of the whole that shares no state with
    the others, which finds values that are computed once and kept. Every prefix is compared: twice
    the candles take four times as long, and `every` makes it shorter. Raises PrefixError if the
    function fails on a prefix; `warm_up` leaves short ones out.
    """
    apart: Compute | None = None
    if isinstance(function, str):
        apart = _over(frame, imported(function, anew=True))
        compute = _over(frame, imported(function, anew=True))
    else:
        compute = _over(frame, function)
    return compare(
        compute,
        times_of(frame),
        every=every,
        warm_up=warm_up,
        tolerance=tolerance,
        apart=apart,
    )


def check_factors(
    candles: Iterable[Any],
    timeframe: str | Timeframe,
    *,
    factors: Iterable[FactorSpec] = FACTORS,
    parameters: Mapping[str, Any] | None = None,
    every: int = 1,
    warm_up: int = 1,
) -> Report:
    """Check factors: facts, heads, drawings and feature columns of every candle.

    Values must be equal to the last digit: a stored fact never changes. Raises PrefixError.
    """
    engine = Engine(timeframe, factors=tuple(factors), parameters=parameters)
    rows = candles_of(candles, engine.timeframe)
    return compare(
        lambda length: fact_columns(engine.run(rows[:length])),
        [candle.candle_time for candle in rows],
        every=every,
        warm_up=warm_up,
        tolerance=0,
    )


def fact_columns(run: Run) -> Columns:
    """Facts, heads and drawings of a run as JSON, by the candle they are dated with; features."""
    times = [candle.candle_time for candle in run.candles]
    names = [spec.name for spec in run.engine.factors.factors]
    found: dict[str, list[list[Any]]] = {
        f"{name} {what}": [[] for _ in times]
        for what in ("facts", "head", "drawings")
        for name in names
    }

    def add(column: str, time: int, value: Any) -> None:
        # What lies between two candles belongs to the earlier one.
        found[column][max(0, bisect_right(times, time) - 1)].append(value)

    for event in run.events:
        add(f"{event.factor} facts", event.candle_time, event)
    for head in run.head_changes:
        add(f"{head.factor} head", head.candle_time, head)
    for version in run.versions:
        factor = version.instruction_id.partition(".")[0]
        # Numbers count the drawings of all factors.
        add(f"{factor} drawings", version.visible_time, version[1:])
    facts = {
        name: [json.dumps(each) if each else None for each in column]
        for name, column in found.items()
    }
    return {**facts, **run.feature_columns()}


def imported(target: str, *, anew: bool = False) -> Any:
    """What ``module:name`` names; `anew` imports the module again, with fresh state.

    Raises ImportError and AttributeError.
    """
    module, _, name = target.partition(":")
    if anew:
        sys.modules.pop(module, None)
    return getattr(import_module(module), name or "SPEC")


def invented_candles(count: int, seconds: int = 300) -> list[Candle]:
    """Candles of a random walk up and down, always the same, with equal prices and holes."""
    dice, candles = random.Random(7), []
    time, price = 1_700_000_100 // seconds * seconds, 100.0
    for number in range(count):
        up = 1 if number % 60 < 30 else -1
        opened, price = price, max(10.0, price + up * dice.choice((-1.5, -1, -0.5, 0, 1, 1, 2)))
        above, below = dice.choice((0, 0.25, 0.5)), dice.choice((0, 0.25, 0.5))
        high, low = max(opened, price) + above, min(opened, price) - below
        candles.append(Candle(time, opened, high, low, price, float(dice.randint(1, 50))))
        time += seconds * dice.choice((*[1] * 60, 2, 4))
    return candles


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = _options(arguments)
    try:
        candles, timeframe = _candles(options)
        use_server_names()
        reports = _reports(options, candles, timeframe)
    except (ValueError, PrefixError, ImportError, AttributeError, OSError) as error:
        print(f"lookahead: {error}", file=sys.stderr)
        return UNUSABLE
    for name, report in reports.items():
        print("\n".join(f"{name}: {line}" for line in str(report).splitlines()))
    return FOUND if any(report.looks_ahead for report in reports.values()) else CLEAN


def _options(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(
        prog="trade_canvas_factors.lookahead",
        description=__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("targets", nargs="*", metavar="MODULE:NAME")
    parser.add_argument("--candles", type=Path, help="a CSV file with candles")
    parser.add_argument("--timeframe", help="of the file; without: its smallest step")
    parser.add_argument("--limit", type=int, default=1000, help="the newest candles of the file")
    parser.add_argument("--every", type=int, default=1, help="compare each N-th prefix only")
    parser.add_argument("--warm-up", type=int, default=1, help="the shortest prefix")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="of functions")
    parser.add_argument("--library", choices=("pandas", "polars"), default="pandas")
    parser.add_argument("--defaults", action="store_true", help="factors with default parameters")
    return parser.parse_args(arguments)


def _candles(options: Namespace) -> tuple[list[Candle], Timeframe]:
    """The candles to check over, and their timeframe; raises CandlesError and OSError."""
    if options.candles is None:
        timeframe = Timeframe.parse(options.timeframe or "5m")
        candles = invented_candles(INVENTED, timeframe.seconds)
        if timeframe.calendar is not None:
            first = candles[0].candle_time
            candles = [
                candle._replace(candle_time=timeframe.moved(timeframe.open_of(first), steps))
                for candle in candles
                for steps in [(candle.candle_time - first) // timeframe.seconds]
            ]
        return candles, timeframe
    with options.candles.open(newline="") as file:
        rows = list(csv.DictReader(file))[-options.limit :]
    if options.timeframe is None:
        times = [candle.candle_time for candle in candles_of(rows, Timeframe.parse("1s"))]
        step = min((later - time for time, later in pairwise(times)), default=60)
        options.timeframe = f"{step}s"
    timeframe = Timeframe.parse(options.timeframe)
    return candles_of(rows, timeframe), timeframe


def _reports(
    options: Namespace, candles: Sequence[Candle], timeframe: Timeframe
) -> dict[str, Report]:
    """A report for each target, and for the built-in factors without any."""
    pace = {"every": options.every, "warm_up": options.warm_up}
    parameters = None if options.defaults else SMALL
    if not options.targets:
        report = check_factors(candles, timeframe, parameters=parameters, **pace)
        return {"built-in factors": report}
    reports = {}
    for target in options.targets:
        named = imported(target)
        specs = named if isinstance(named, tuple | list) else (named,)
        if all(isinstance(each, FactorSpec) for each in specs):
            factors = with_dependencies(specs)
            reports[target] = check_factors(
                candles, timeframe, factors=factors, parameters=_known(parameters, factors), **pace
            )
        elif not callable(named):
            raise ValueError(f"{target} is neither a factor nor a function")
        else:
            frame = frame_of(_frame_columns(candles), options.library)
            reports[target] = check(target, frame, tolerance=options.tolerance, **pace)
    return reports


def with_dependencies(specs: Iterable[FactorSpec]) -> tuple[FactorSpec, ...]:
    """Factors, with those of the package that they depend on."""
    found = {spec.name: spec for spec in specs}
    known = {spec.name: spec for spec in FACTORS}
    waiting = list(found.values())
    while waiting:
        for name in waiting.pop().depends_on:
            if name not in found and name in known:
                found[name] = known[name]
                waiting.append(known[name])
    return tuple(found.values())


def _known(parameters: Mapping[str, Any] | None, factors: Iterable[FactorSpec]) -> dict[str, Any]:
    names = {spec.name for spec in factors}
    return {name: values for name, values in (parameters or {}).items() if name in names}


def _frame_columns(candles: Iterable[Candle]) -> Columns:
    """Candles as columns with dates in UTC."""
    dates, *values = zip(*candles, strict=True)
    named = dict(zip(Candle._fields[1:], values, strict=True))
    return {"date": [datetime.fromtimestamp(time, UTC) for time in dates], **named}


def _over(frame: Any, function: FrameFunction) -> Compute:
    """A function from frame to frame as one from a number of rows to columns."""

    def compute(length: int) -> Columns:
        given = first_rows(frame, length)
        # The function may change its frame: the rows that it is compared by must not change.
        return columns_of(function(given), first_rows(frame, length))

    return compute


if __name__ == "__main__":
    sys.exit(main())
