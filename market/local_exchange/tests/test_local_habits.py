"""The habits of the local exchange: on REST, in the streams, and what is true of them."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlencode

import ccxt
import ccxt.async_support
import pytest

from lab.http import get
from lab.waiting import patience
from market.exchanges.local_address import point_at
from market.local_exchange.book import Clock
from market.local_exchange.candles import DAY_MS, WEEK_MS
from market.local_exchange.generated import LISTED_MS, GeneratedCandles
from market.local_exchange.replayed import ReplayedCandles
from market.local_exchange.server import running_exchange
from market.local_exchange.tests.local_client import (
    TIMEOUT_S,
    ask,
    connected,
    finals,
    klines,
    read,
    request,
    until,
    values,
)

SPEED = 10
MINUTE_MS = 60_000
MINUTE = {"symbol": "BTCUSDT", "interval": "1m"}
SECOND = {"symbol": "BTCUSDT", "interval": "1s"}
STREAM = "btcusdt@kline_1s"
KLINES = "/api/v3/klines"
START_MS = LISTED_MS + 1_000 * MINUTE_MS
START = START_MS // 1000


@pytest.fixture(scope="module")
def shared():
    clock = Clock(speed=SPEED)
    with running_exchange(GeneratedCandles(5), clock=clock, push_ms=25) as running:
        yield running


@pytest.fixture
def exchange(shared):
    yield shared
    shared.clear()
    # What was not answered counts as such until it is: the next test has the same minutes.
    query = urlencode({**MINUTE, "startTime": START_MS, "limit": 1000})
    assert get(f"{shared.url}{KLINES}?{query}")[0] == 200


async def page(exchange, first, last, **query):
    """The rows of the minutes that open from `first` to `last` (minutes after START)."""
    bounds = {
        "startTime": START_MS + first * MINUTE_MS,
        "endTime": START_MS + last * MINUTE_MS,
    }
    return await read(exchange.url, KLINES, **(MINUTE | bounds | query))


async def truth(exchange, first, last, **query):
    """What is true of those minutes."""
    bounds = {"start": START + first * 60, "end": START + last * 60}
    return await read(exchange.url, "/control/truth", **(MINUTE | bounds | query))


def minutes(rows):
    """Which minutes after START rows are of."""
    return [(row[0] - START_MS) / MINUTE_MS for row in rows]


def absences(truth):
    """The absences as (first minute, last minute, why, kind)."""
    return [
        (
            (each["from_time"] - START) // 60,
            (each["to_time"] - START) // 60,
            each["why"],
            each["kind"],
        )
        for each in truth["absences"]
    ]


async def now_ms(exchange):
    return (await read(exchange.url, "/api/v3/time"))["serverTime"]


async def test_without_habits_nothing_is_absent(exchange):
    true = await truth(exchange, 0, 9)
    assert len(true["candles"]) == 10 and true["absences"] == []


async def test_quiet_minutes_are_neither_served_nor_true(exchange):
    exchange.fault(kind="quiet", span=[START + 120, START + 239], scope={"symbol": "BTCUSDT"})
    true = await truth(exchange, 0, 5)
    rows, other = await page(exchange, 0, 5), await page(exchange, 0, 5, symbol="ETHUSDT")
    assert minutes(rows) == [0, 1, 4, 5] and minutes(other) == [0, 1, 2, 3, 4, 5]
    assert [(each["candle_time"] - START) // 60 for each in true["candles"]] == [0, 1, 4, 5]
    assert absences(true) == [(2, 3, "quiet", "quiet")]


async def test_quiet_stretches_come_back(exchange):
    exchange.fault(kind="quiet", every_s=300, for_s=125)
    # START is a multiple of 300: two whole minutes of every five, and a third one in part.
    assert START % 300 == 0
    assert minutes(await page(exchange, 0, 9)) == [2, 3, 4, 7, 8, 9]
    longer = await read(exchange.url, KLINES, symbol="BTCUSDT", interval="5m", startTime=START_MS)
    assert longer[0][0] == START_MS


async def test_quiet_seconds_are_not_streamed(exchange):
    exchange.fault(kind="quiet", every_s=3, for_s=1, scope={"interval": "1s"})
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        found = await klines(socket, 30)
    assert {one["t"] // 1000 % 3 for one in found} == {1, 2}


async def test_late_listing_has_nothing_before(exchange):
    exchange.fault(kind="late_listing", at=START + 300, scope={"symbol": "BTCUSDT"})
    oldest = await read(exchange.url, KLINES, **MINUTE, startTime=0, limit=1)
    info = await read(exchange.url, "/fapi/v1/exchangeInfo")
    true = await truth(exchange, 0, 6)
    onboard = {each["symbol"]: each["onboardDate"] for each in info["symbols"]}
    assert minutes(oldest) == [5]
    assert onboard["BTCUSDT"] == START_MS + 5 * MINUTE_MS and onboard["ETHUSDT"] == LISTED_MS
    assert len(true["candles"]) == 2 and true["absences"] == []


async def test_halted_market_says_so_and_has_nothing_new(exchange):
    exchange.fault(kind="halt", scope={"symbol": "BTCUSDT"})
    halted_ms = await now_ms(exchange)
    client = ccxt.async_support.binance({"enableRateLimit": False})
    point_at(client, exchange.url)
    try:
        markets = await client.load_markets()
    finally:
        await client.close()
    await until(exchange.url, lambda state: state["now_ms"] >= halted_ms + 3_000)
    rows = await read(exchange.url, KLINES, **SECOND, limit=5)
    assert not markets["BTC/USDT"]["active"] and not markets["BTC/USDT:USDT"]["active"]
    assert markets["ETH/USDT"]["active"]
    assert rows[-1][0] <= halted_ms


@pytest.mark.parametrize(
    ("interval", "size_ms", "offset_s", "weekday_and_hour"),
    [("1d", DAY_MS, 16 * 3600, (None, 16)), ("1w", WEEK_MS, 3 * 86_400, (3, 0))],
)
async def test_grid_opens_later(exchange, interval, size_ms, offset_s, weekday_and_hour):
    usual = await read(exchange.url, KLINES, symbol="BTCUSDT", interval=interval, limit=9)
    exchange.fault(kind="grid", offset_s=offset_s, scope={"interval": interval})
    rows = await read(exchange.url, KLINES, symbol="BTCUSDT", interval=interval, limit=9)
    assert {row[0] % size_ms for row in rows} == {(usual[0][0] + offset_s * 1000) % size_ms}
    opened = [time.gmtime(row[0] / 1000) for row in rows]
    weekday, hour = weekday_and_hour
    assert {at.tm_hour for at in opened} == {hour}
    assert weekday is None or {at.tm_wday for at in opened} == {weekday}
    # A candle is the sum of its parts on this grid too.
    hours = {"symbol": "BTCUSDT", "interval": "1h", "limit": 168}
    bounds = {"startTime": rows[0][0], "endTime": rows[1][0] - 1}
    parts = await read(exchange.url, KLINES, **hours, **bounds)
    assert rows[0][1] == parts[0][1] and rows[0][4] == parts[-1][4]
    assert float(rows[0][2]) == max(float(part[2]) for part in parts)


async def test_grid_moves_the_streams(exchange):
    async with connected(exchange.url, "/ws/btcusdt@kline_1m") as socket:
        await klines(socket, 1)
        exchange.fault(kind="grid", offset_s=15, scope={"interval": "1m"})
        async with asyncio.timeout(patience(TIMEOUT_S)):
            while (await klines(socket, 1))[0]["t"] % MINUTE_MS != 15_000:
                pass
        [closed] = await finals(socket, 1)
    [row] = await read(exchange.url, KLINES, **MINUTE, startTime=closed["t"], limit=1)
    assert row[1:6] == values(closed)


async def test_grid_of_a_recording_moves_by_its_candles(tmp_path):
    path = tmp_path / "recording.csv"
    lines = [f"{600_000 + 60 * n},{n + 1},{n + 3},{n},{n + 2},1" for n in range(20)]
    path.write_text("candle_time,open,high,low,close,volume\n" + "\n".join(lines))
    source = ReplayedCandles(path, market="spot", symbol="BTC/USDT", interval="1m")
    clock = Clock(origin_ms=601_200_000)
    with running_exchange(source, clock=clock) as running:
        running.fault(kind="grid", offset_s=150)
        five = {"symbol": "BTCUSDT", "interval": "5m"}
        rows = await read(running.url, KLINES, **five, startTime=0)
        own = await read(running.url, KLINES, **MINUTE, startTime=0)
    assert [row[0] // 1000 for row in rows] == [599_820, 600_120, 600_420, 600_720, 601_020]
    assert [float(row[5]) for row in rows] == [2, 5, 5, 5, 3]
    assert own[0][0] == 600_000_000


async def test_short_pages_hold_the_oldest_or_the_newest_of_what_was_asked(exchange):
    exchange.fault(kind="short_pages", most=3)
    oldest = await page(exchange, 0, 9)
    exchange.clear()
    exchange.fault(kind="short_pages", most=3, keep="newest")
    newest = await page(exchange, 0, 9)
    limited = await read(exchange.url, KLINES, **MINUTE, startTime=START_MS, limit=8)
    assert minutes(oldest) == [0, 1, 2] and minutes(newest) == [7, 8, 9]
    assert minutes(limited) == [5, 6, 7]
    assert (await truth(exchange, 0, 9))["absences"] == []


async def test_only_the_newest_candles_whatever_the_start(exchange):
    exchange.fault(kind="newest_only", bars=20, scope={"interval": "1m"})
    rows = await read(exchange.url, KLINES, **MINUTE, startTime=START_MS, limit=1000)
    late = await read(exchange.url, KLINES, **MINUTE, startTime=rows[5][0], limit=1000)
    start = rows[0][0] // 1000
    bounds = {"start": start - 300, "end": start + 300}
    true = await read(exchange.url, "/control/truth", **MINUTE, **bounds)
    assert len(rows) == 20 and late[0][0] == rows[5][0]
    [absence] = true["absences"]
    assert (absence["from_time"], absence["why"]) == (start - 300, "unserved")
    assert len(true["candles"]) == 11


async def test_old_windows_are_refused(exchange):
    exchange.fault(kind="refuse_old", bars=10_000, scope={"interval": "1m"})
    status, _, body = await ask(exchange.url, KLINES, **MINUTE, startTime=START_MS)
    current = await now_ms(exchange) // MINUTE_MS * MINUTE_MS
    recent = MINUTE | {"startTime": current - 9_000 * MINUTE_MS, "limit": 1}
    assert (status, body["code"]) == (400, -1130)
    assert "too long ago. Maximum 10000 points" in body["msg"]
    assert len(await read(exchange.url, KLINES, **recent)) == 1
    assert [each["why"] for each in (await truth(exchange, 0, 3))["absences"]] == ["unserved"]


@pytest.mark.parametrize(("answer", "body"), [("empty", []), ("null", None)])
async def test_unusable_answers_to_what_touches_a_span(exchange, answer, body):
    exchange.fault(kind="unusable", answer=answer, span=[START + 300, START + 360])
    assert await page(exchange, 3, 5) == body
    assert minutes(await page(exchange, 7, 8)) == [7, 8]
    assert absences(await truth(exchange, 0, 9)) == [(3, 5, "unanswered", "unusable")]
    assert minutes(await page(exchange, 2, 4)) == [2, 3, 4]
    assert absences(await truth(exchange, 0, 9)) == [(5, 5, "unanswered", "unusable")]


async def test_maintenance_page_comes_with_status_200_and_ends(exchange):
    exchange.fault(kind="unusable", answer="maintenance", count=1)
    status, headers, body = await ask(exchange.url, KLINES, **MINUTE, startTime=START_MS, limit=4)
    assert (status, headers["Content-Type"]) == (200, "text/html") and "Maintenance" in body
    assert absences(await truth(exchange, 0, 5)) == [(0, 3, "unanswered", "unusable")]
    assert minutes(await page(exchange, 0, 5)) == [0, 1, 2, 3, 4, 5]
    assert absences(await truth(exchange, 0, 5)) == []


@pytest.mark.parametrize(
    ("row", "spoiled"),
    [
        ("zeros", [START_MS + MINUTE_MS, *["0"] * 5]),
        ("nulls", [START_MS + MINUTE_MS, *[None] * 5]),
    ],
)
async def test_bad_rows_stand_among_good_ones(exchange, row, spoiled):
    good = await page(exchange, 0, 2)
    exchange.fault(kind="bad_rows", row=row, candle_times=[START + 60])
    rows = await page(exchange, 0, 2)
    assert rows[1][:6] == spoiled
    assert [rows[0], rows[2]] == [good[0], good[2]]
    true = await truth(exchange, 0, 2)
    assert len(true["candles"]) == 3 and absences(true) == [(1, 1, "dropped", "bad_rows")]


async def test_bad_rows_in_another_unit(exchange):
    exchange.fault(kind="bad_rows", row="other_unit", every=2, target="rest")
    rows = await page(exchange, 0, 3)
    units = [row[0] // (START_MS + index * MINUTE_MS) for index, row in enumerate(rows)]
    assert sorted(units) == [1, 1, 1_000, 1_000]


async def test_dust_lies_beyond_the_open_and_is_no_absence(exchange):
    # Its prices are so few ticks that most candles open or close at an end of their range.
    query = {"symbol": "DOGEUSDT", "interval": "1s", "startTime": START_MS, "limit": 300}
    good = await read(exchange.url, KLINES, **query)
    exchange.fault(kind="bad_rows", row="dust", every=1)
    rows = await read(exchange.url, KLINES, **query)
    dusty = 0
    for row, true in zip(rows, good, strict=True):
        opened, high, low, closed = map(float, row[1:5])
        dusty += low > min(opened, closed) or high < max(opened, closed)
        # Widened to open and close, the range is the true one.
        widened = [opened, max(opened, high, closed), min(opened, low, closed), closed]
        assert widened == list(map(float, true[1:5]))
    assert dusty > 100
    assert (await truth(exchange, 0, 3, symbol="DOGEUSDT"))["absences"] == []


async def test_bad_rows_are_streamed(exchange):
    exchange.fault(kind="bad_rows", row="zeros", every=2, scope={"interval": "1s"})
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        found = await finals(socket, 4)
    for one in found:
        assert (values(one) == ["0"] * 5) == (one["t"] // 1000 % 2 == 0)


async def test_corrections_come_bars_later_and_are_not_pushed(exchange):
    habit = {"bars": 20, "factor": 1.01, "every": 5}
    exchange.fault(kind="late_correction", scope={"interval": "1s"}, **habit)
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        streamed = [one for one in await finals(socket, 10) if one["t"] // 1000 % 5 == 0]
    [one, *_] = streamed
    query = SECOND | {"start": one["t"] // 1000, "end": one["t"] // 1000}
    true = (await read(exchange.url, "/control/truth", **query))["candles"][0]
    assert float(one["c"]) == pytest.approx(true["close"] * 1.01, rel=1e-4)
    await until(exchange.url, lambda state: state["now_ms"] >= one["t"] + 22_000)
    [row] = await read(exchange.url, KLINES, **SECOND, startTime=one["t"], limit=1)
    assert float(row[4]) == true["close"]


async def test_subscriptions_beyond_the_limit_of_a_socket_are_refused(exchange):
    exchange.fault(kind="subscription_limit", most=1)
    async with connected(exchange.url, "/ws") as socket, connected(exchange.url, "/ws") as other:
        accepted = await request(socket, "SUBSCRIBE", STREAM)
        refused = await request(socket, "SUBSCRIBE", "ethusdt@kline_1s", number=2)
        elsewhere = await request(other, "SUBSCRIBE", "ethusdt@kline_1s")
        state = await read(exchange.url, "/control/state")
    assert "error" not in accepted and "error" not in elsewhere
    assert "more than 1 streams" in refused["error"]["msg"]
    assert state["subscribers"] == {"spot:btcusdt@kline_1s": 1, "spot:ethusdt@kline_1s": 1}


async def test_subscriptions_beyond_the_limit_are_never_answered(exchange):
    exchange.fault(kind="subscription_limit", most=1, unanswered=True)
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": ["ethusdt@kline_1s"], "id": 1})
        # What is answered next shows that the exchange has read it.
        listed = await request(socket, "LIST_SUBSCRIPTIONS", number=2)
        await until(exchange.url, lambda state: state["subscribers"])
    assert listed == {"result": [STREAM], "id": 2}


async def test_429_with_a_body_and_headers_of_its_own(exchange):
    details = {"status": 429, "retry_after_s": 60, "body": "slow down, please"}
    headers = {"X-RateLimit-Reset": "1700000000"}
    exchange.fault(kind="rest_status", count=1, headers=headers, **details)
    status, answered, body = await ask(exchange.url, KLINES, **MINUTE)
    assert (status, body) == (429, "slow down, please")
    assert (answered["Retry-After"], answered["X-RateLimit-Reset"]) == ("60", "1700000000")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "quiet"}, "quiet needs"),
        ({"kind": "quiet", "every_s": 5, "for_s": 5}, "quiet needs"),
        ({"kind": "late_listing"}, "needs at"),
        ({"kind": "grid"}, "needs offset_s"),
        ({"kind": "short_pages"}, "needs most"),
        ({"kind": "newest_only"}, "needs bars"),
        ({"kind": "refuse_old"}, "needs bars"),
        ({"kind": "unusable"}, "needs span, count or duration_s"),
        ({"kind": "unusable", "count": 1, "answer": "rude"}, "answer"),
        ({"kind": "bad_rows", "row": "zeros"}, "bad_rows needs"),
        ({"kind": "bad_rows", "every": 1}, "bad_rows needs"),
        ({"kind": "late_correction", "bars": 20}, "needs bars, and factor or values"),
        ({"kind": "subscription_limit"}, "needs most"),
        (
            {"kind": "rest_status", "count": 1, "headers": {"A: B\r\nC": "1"}},
            "headers",
        ),
        ({"kind": "rest_status", "count": 1, "headers": {"A": "1\r\nB: 2"}}, "headers"),
    ],
)
async def test_incomplete_habits_are_refused(exchange, fault, reason):
    status, _, body = await ask(exchange.url, "/control/faults", method="POST", body=fault)
    assert (status, body["code"]) == (400, "bad_fault") and reason in body["detail"]
