"""What each exchange of ccxt is asked, and how it answers: one row a venue and market.

The next exchange is one more row of `venues.txt`. A row has the parameters of a request that hold
the first candle, the end and the count; where the rows are in the answer; how a row is laid out;
and the unit of its time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lab.venues.habits import Habits

ROWS = (Path(__file__).parent / "venues.txt").read_text().splitlines()

# What a venue does beside what its row shows. Without a cap here, ccxt's own page size is one.
HABITS = {
    "bitbank": Habits(cap=2_000),
    "bullish": Habits(cap=100, newest_first=True),
    "bybit": Habits(newest_first=True),
    "coinbase": Habits(newest_first=True),
    "coinbaseexchange": Habits(newest_first=True),
    "gate": Habits(oldest_points=10_000),
    "gateeu": Habits(oldest_points=10_000),
    "hyperliquid": Habits(newest_only=5_000),
    "kraken": Habits(newest_only=720, includes_start=False),
    "kucoin": Habits(newest_first=True, includes_end=False),
    "mexc": Habits(cap=500),
    "okx": Habits(newest_first=True, keeps_newest=True, includes_start=False, includes_end=False),
    "upbit": Habits(newest_first=True, keeps_newest=True, includes_end=False),
}

# Beside the rows, what ccxt wants to see in an answer that is no error.
SUCCESS: dict[str, dict[str, object]] = {
    "bitbank": {"success": 1},
    "bybit": {"retCode": 0},
    "bybiteu": {"retCode": 0},
    "bybitid": {"retCode": 0},
    "bydfi": {"code": 200, "success": True},
    "cryptocom": {"code": 0},
    "deepcoin": {"code": "0"},
    "digifinex": {"code": 0},
    "kucoin": {"code": "200000"},
    "kucoinfutures": {"code": "200000"},
    "lbank": {"result": "true", "error_code": 0},
    "myokx": {"code": "0"},
    "okx": {"code": "0"},
    "okxus": {"code": "0"},
    "zebpay": {"statusCode": 200, "statusDescription": "Success"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """One row of the table."""

    id: str
    market: str
    start: str
    end: str
    count: str
    # The keys and positions that lead to the rows of an answer; None when they are unknown.
    envelope: tuple[str, ...] | None
    layout: tuple[str, ...]
    unit: str
    habits: Habits = field(default_factory=Habits)

    @property
    def can_answer(self) -> bool:
        """Whether the table has the form of its answers."""
        return bool(self.layout)


def _venue(line: str) -> Venue:
    cells = ["" if cell == "-" else cell for cell in line.split(" | ")]
    name, market, start, end, count, envelope, layout, unit = cells
    return Venue(
        id=name,
        market=market,
        start=start,
        end=end,
        count=count,
        envelope=tuple(envelope.split(".")) if envelope else (),
        layout=tuple(layout.split()),
        unit=unit,
        habits=HABITS.get(name, Habits()),
    )


VENUES = {
    (one.id, one.market): one for one in [_venue(line) for line in ROWS if not line.startswith("#")]
}


def venue_of(exchange: str, market: str) -> Venue | None:
    """The row of an exchange's market; its spot row holds for futures without a row."""
    return VENUES.get((exchange, market)) or VENUES.get((exchange, "spot"))
