"""Runs the local exchange: Binance's protocol on generated or recorded candles."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from market.local_exchange.book import Clock
from market.local_exchange.candles import INTERVALS, MARKETS, SPOT, CandleSource
from market.local_exchange.faults import Request, parse_request
from market.local_exchange.generated import GeneratedCandles
from market.local_exchange.replayed import RecordingError, ReplayedCandles
from market.local_exchange.rest import DEFAULT_LIMITS
from market.local_exchange.server import PUSH_MS, start


def _within(low: float, high: float, kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise ArgumentTypeError(f"must lie within {low:g}..{high:g}")
        return value

    return parse


def _fault(text: str) -> Request:
    try:
        return parse_request(json.loads(text))
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def replay(options: dict[str, Any]) -> tuple[CandleSource, Clock]:
    """The recording named by the options, and a clock set to where it is to resume."""
    source = ReplayedCandles(
        options["replay"],
        market=options["market"],
        symbol=options["symbol"],
        interval=options["interval"],
    )
    played_ms = options["start_at"] and options["start_at"] * 1000
    start_ms = played_ms or (source.first_ms + source.end_ms) // 2
    if not options["shift_to_now"]:
        return source, Clock(origin_ms=start_ms, speed=options["speed"])
    behind_ms = int(time.time() * 1000) - start_ms
    source.shift(behind_ms - behind_ms % source.interval_ms)
    return source, Clock(speed=options["speed"])


class Command(BaseCommand):
    """Serves until SIGINT or SIGTERM. Needs neither database nor bus."""

    help = (
        "Run a local exchange that speaks Binance's public REST and stream protocol, on candles "
        "generated from a seed or replayed from a recording. Faults: see docs/local-exchange.md."
    )
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument(
            "--port", type=int, default=8765, help="port; 0 takes a free one and prints it"
        )
        parser.add_argument(
            "--seed", type=int, default=1, help="the same seed gives the same history"
        )
        parser.add_argument(
            "--push-ms",
            type=_within(10, 60_000, int),
            default=PUSH_MS,
            help="milliseconds between two updates of an open candle",
        )
        parser.add_argument(
            "--speed",
            type=_within(0.01, 10_000, float),
            default=1.0,
            help="how many times faster than the wall clock the exchange's time passes",
        )
        for market in MARKETS:
            parser.add_argument(
                f"--{market}-weight",
                type=_within(1, 10**9, int),
                default=DEFAULT_LIMITS[market],
                help=f"request weight that one address may use a minute ({market})",
            )
        parser.add_argument(
            "--fault",
            action="append",
            default=[],
            type=_fault,
            metavar="JSON",
            help="a fault or habit to start with, as for POST /control/faults; may be repeated",
        )
        parser.add_argument("--quiet", action="store_true", help="do not log faults and the end")
        self._add_replay_arguments(parser)

    def _add_replay_arguments(self, parser: ArgumentParser) -> None:
        group = parser.add_argument_group("replay")
        group.add_argument(
            "--replay", type=Path, metavar="FILE", help="CSV or CSV.gz to replay, not generate"
        )
        group.add_argument("--symbol", default="BTC/USDT", help="the recorded symbol, BASE/QUOTE")
        group.add_argument(
            "--interval", choices=INTERVALS, default="1m", help="length of a recorded candle"
        )
        group.add_argument(
            "--market", choices=MARKETS, default=SPOT, help="the market to list it in"
        )
        group.add_argument(
            "--start-at",
            type=int,
            metavar="SECONDS",
            help="recorded time (Unix seconds) to start from (default: the middle)",
        )
        group.add_argument(
            "--shift-to-now",
            action="store_true",
            help="move the recording so that this time is now",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["quiet"]:
            logger = logging.getLogger("market.local_exchange")
            logger.addHandler(logging.StreamHandler(self.stderr))
            logger.setLevel(logging.INFO)
        try:
            asyncio.run(self._serve(options))
        except RecordingError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"can't start: {error}") from error

    async def _serve(self, options: dict[str, Any]) -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        if options["replay"]:
            source, clock = replay(options)
        else:
            source, clock = GeneratedCandles(options["seed"]), Clock(speed=options["speed"])
        exchange = await start(
            source,
            clock=clock,
            host=options["host"],
            port=options["port"],
            push_ms=options["push_ms"],
            weight_limits={market: options[f"{market}_weight"] for market in MARKETS},
        )
        for fault in options["fault"]:
            exchange.control.add(fault)
        self.stdout.write(f"local exchange ready on {exchange.url}")
        self.stdout.flush()
        try:
            await stopping.wait()
        finally:
            await exchange.stop()
        if not options["quiet"]:
            self.stdout.write("local exchange stopped")
