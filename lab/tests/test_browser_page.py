"""Pages of a crowd: what they ask for, and what they notice about their drawings."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

import pytest

from lab import browser_drawings
from lab.browser_drawings import FRAME, MISSED, PAST, POLL, Answer, BrowserDrawings
from lab.browser_page import end_tasks, newest_in_columns
from lab.client import Order
from lab.crowd_process import DIFFERING, Crew
from lab.tests.fake_web import HEAD, SERIES, STORED, FakeWeb, closed
from lab.waiting import eventually
from market.domain.candle import Candle
from market.domain.history_format import encode

BASE = 1000


def version(number, name="pen.1"):
    return {"version_id": number, "instruction_id": name}


def frame(to_time, *versions):
    state = {
        "to_candle_time": to_time,
        "active_ids": [each["instruction_id"] for each in versions],
        "instruction_catalog_patch": list(versions),
        "next_cursor": {"version_id": max(each["version_id"] for each in versions)},
    }
    return {"draw_state": state}


def delta(previous, cursor, to_time, *versions, removed=()):
    return {
        "type": "draw_delta",
        "series_id": SERIES,
        "previous_cursor": previous,
        "cursor": cursor,
        "to_candle_time": to_time,
        "removed_ids": list(removed),
        "instruction_catalog_patch": list(versions),
    }


def cursor(number, to_time):
    return {
        "type": "draw_cursor",
        "series_id": SERIES,
        "cursor": number,
        "to_candle_time": to_time,
    }


def polled(number, to_time, *versions):
    state = frame(to_time, *versions)["draw_state"]
    record = {"id": number, "to_candle_time": to_time, "draw_delta": state}
    return {"records": [record], "next_cursor": {"id": number}}


class Server:
    """Answers the requests for drawings, from a list each, when `gate` is set."""

    def __init__(self, **answers):
        self.asked = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._answers = {FRAME: answers.get("frames", []), POLL: answers.get("polls", [])}

    async def get(self, path, query=None):
        self.asked.append((path, query.get("after_id")))
        await self.gate.wait()
        answer = self._answers[path].pop(0)
        if isinstance(answer, int):
            return Answer(answer)
        return Answer(200, json.dumps(answer).encode(), {"X-Draw-Cursor": str(BASE)})


@asynccontextmanager
async def drawing(server):
    """The drawings of a page whose first frame was asked for."""
    shown, counts = [], Counter()
    drawings = BrowserDrawings(
        SERIES,
        server,
        counts=counts,
        changed=lambda to_time, at, over_socket: shown.append((to_time, over_socket)),
    )
    task = asyncio.create_task(drawings.follow())
    drawings.begin_read()
    drawings.subscribed()
    await eventually(lambda: server.asked)
    yield drawings, shown, counts
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def send(drawings, message):
    drawings.received(json.dumps(message).encode(), 1.0)


async def test_messages_that_follow_on_each_other_change_the_drawings():
    server = Server(frames=[frame(HEAD, version(7), version(8, "pen.2"))])
    async with drawing(server) as (drawings, shown, counts):
        await eventually(lambda: shown)
        send(drawings, cursor(BASE, HEAD))
        send(drawings, delta(BASE, 1002, 6060, version(1001)))
        send(drawings, delta(1002, 1003, 6120, removed=["pen.2"]))
        send(drawings, delta(BASE, 1002, 6060, version(1001)))
    assert drawings.shown.versions == {"pen.1": 1001}
    assert shown == [(HEAD, False), (6060, True), (6120, True)]
    assert server.asked == [(FRAME, None)]
    assert counts[MISSED] == 0


async def test_messages_during_a_read_are_applied_after_it():
    server = Server(frames=[frame(HEAD, version(7))])
    server.gate.clear()
    async with drawing(server) as (drawings, shown, counts):
        send(drawings, cursor(BASE, HEAD))
        send(drawings, delta(BASE, 1001, 6060, version(1001)))
        server.gate.set()
        await eventually(lambda: len(shown) == 2)
    assert drawings.cursor == 1001
    assert counts[MISSED] == 0


async def test_drawings_that_went_on_before_the_subscribe_are_asked_for_once():
    server = Server(frames=[frame(HEAD, version(7))], polls=[polled(1001, 6060, version(1001))])
    async with drawing(server) as (drawings, shown, counts):
        await eventually(lambda: shown)
        send(drawings, cursor(1001, 6060))
        send(drawings, delta(1001, 1002, 6120))
        await eventually(lambda: len(shown) == 3)
    assert server.asked[1:] == [(POLL, str(BASE))]
    assert shown[1:] == [(6060, False), (6120, True)]
    assert counts[MISSED] == 0


@pytest.mark.parametrize(
    "message", [delta(1001, 1002, 6120), cursor(1002, 6120)], ids=["delta", "cursor"]
)
async def test_a_message_that_was_missed_is_counted_and_asked_for_once(message):
    server = Server(
        frames=[frame(HEAD, version(7))], polls=[polled(1002, 6120, version(1002, "pen.2"))]
    )
    async with drawing(server) as (drawings, shown, counts):
        await eventually(lambda: shown)
        send(drawings, cursor(BASE, HEAD))
        send(drawings, message)
        await eventually(lambda: len(shown) == 2)
        send(drawings, delta(1002, 1003, 6180))
    assert drawings.shown.versions == {"pen.2": 1002}
    assert server.asked[1:] == [(POLL, str(BASE))]
    assert shown[1:] == [(6120, False), (6180, True)]
    assert counts[MISSED] == 1


async def test_drawings_that_are_behind_are_read_again_without_being_missed():
    server = Server(frames=[409, frame(HEAD, version(7))], polls=[polled(1001, 6060, version(8))])
    async with drawing(server) as (drawings, shown, counts):
        await eventually(lambda: shown)
        send(drawings, cursor(BASE, HEAD))
        send(drawings, cursor(None, None))
        send(drawings, cursor(1001, 6060))
        await eventually(lambda: len(shown) == 2)
    assert [path for path, _ in server.asked] == [FRAME, FRAME, POLL]
    assert counts[MISSED] == 0


async def test_a_message_that_overtakes_a_read_is_asked_for_without_being_missed():
    server = Server(frames=[frame(HEAD, version(7))], polls=[polled(1002, 6120, version(8))])
    async with drawing(server) as (drawings, shown, counts):
        await eventually(lambda: shown)
        send(drawings, cursor(BASE, HEAD))
        send(drawings, delta(BASE - 1, 1002, 6120))
        await eventually(lambda: len(shown) == 2)
    assert server.asked[1:] == [(POLL, str(BASE))]
    assert counts[MISSED] == 0


async def test_drawings_that_do_not_come_after_their_candle_are_asked_for(monkeypatch):
    monkeypatch.setattr(browser_drawings, "LATE_S", 0.01)
    server = Server(frames=[frame(HEAD, version(7))], polls=[polled(1001, 6060, version(8))])
    async with drawing(server) as (drawings, shown, counts):
        await eventually(lambda: shown)
        send(drawings, cursor(BASE, HEAD))
        drawings.candle_closed(6060)
        await eventually(lambda: len(shown) == 2)
    assert server.asked[1:] == [(POLL, str(BASE))]
    assert counts[MISSED] == 1


async def test_cursor_of_drawings_that_are_older_than_those_read_is_no_reason_to_ask():
    server = Server(frames=[frame(HEAD, version(7))])
    async with drawing(server) as (drawings, shown, counts):
        await eventually(lambda: shown)
        send(drawings, cursor(BASE - 1, HEAD - 60))
        send(drawings, delta(BASE - 1, BASE, HEAD))
        send(drawings, delta(BASE, 1001, 6060))
    assert [path for path, _ in server.asked] == [FRAME]
    assert (drawings.cursor, counts[MISSED]) == (1001, 0)


async def test_rewritten_drawings_are_read_from_a_frame():
    server = Server(frames=[frame(HEAD, version(7)), frame(6060, version(9, "pen.9"))])
    async with drawing(server) as (drawings, shown, counts):
        await eventually(lambda: shown)
        send(drawings, cursor(BASE, HEAD))
        drawings.rewritten()
        await eventually(lambda: len(shown) == 2)
    assert drawings.shown.versions == {"pen.9": 9}
    assert counts[MISSED] == 0


async def test_pages_with_the_same_drawings_apply_a_message_once():
    message = json.dumps(delta(BASE, 1001, 6060, version(1001))).encode()
    found = []
    for _ in range(2):
        async with drawing(Server(frames=[frame(HEAD, version(7))])) as (drawings, shown, _):
            await eventually(lambda shown=shown: shown)
            drawings.received(bytes(bytearray(message)), 1.0)
            found.append(drawings.shown)
    assert found[0] is found[1]


# A crowd of them


def a_web():
    web = FakeWeb()
    tagged = {"ETag": '"1"'}
    web.pages = {
        "/": ('<script src="/static/assets/index-1.js"></script>', {}),
        "/static/assets/index-1.js": ("", tagged),
        "/api/factor/catalog": ({"factors": []}, tagged),
        "/api/market/whitelist": ({"series_ids": [SERIES]}, tagged),
        FRAME: (frame(HEAD, version(7)), {"X-Draw-Cursor": str(BASE)}),
        POLL: (polled(1004, STORED[-1], version(9)), {}),
        PAST: (frame(STORED[-1], version(1001)), {}),
    }
    return web


SOUND = [
    cursor(BASE, HEAD),
    *(closed(time) for time in STORED),
    delta(BASE, 1001, STORED[0], version(1001)),
    *(delta(1001 + each, 1002 + each, time) for each, time in enumerate(STORED[1:])),
]


@asynccontextmanager
async def crew_of_pages(web):
    """Two pages in this process."""
    crew = Crew(Order(urls=(web.url,), series=(SERIES,), watchers=2, pages=True))
    try:
        yield crew
    finally:
        await crew.close()


async def counted(crew, name, count):
    """Wait until the pages have counted so many."""
    await eventually(lambda: crew.counts[name] == count)


async def run_pages(web, *, messages=2 * 5):
    """Have two pages load, receive so many messages about drawings together, and leave."""
    async with web.running(), crew_of_pages(web) as crew:
        joined = await crew.attach()
        assert (joined.asked, joined.live) == (2, 2)
        await counted(crew, "draw messages", messages)
        await counted(crew, "requests /api/market/whitelist", 2)
        await counted(crew, "requests /api/market/symbols", 2)
        return await crew.finish({SERIES: STORED}, wait=False)


async def test_page_asks_for_all_that_its_first_load_shows():
    web = a_web()
    await run_pages(web, messages=0)
    paths = Counter(urlsplit(path).path for path, _ in web.asked)
    assert {path: count // 2 for path, count in paths.items() if path != PAST} == {
        "/": 1,
        "/static/assets/index-1.js": 1,
        "/api/factor/catalog": 1,
        "/api/market/whitelist": 1,
        "/api/market/top_markets": 1,
        "/api/market/symbols": 1,
        "/api/market/candles": 1,
        FRAME: 1,
    }
    (query,) = {urlsplit(path).query for path, _ in web.asked if path.startswith(FRAME)}
    assert parse_qs(query) == {
        "series_id": [SERIES],
        "window_candles": ["2000"],
        "factor_slices": ["false"],
    }


@pytest.mark.parametrize("answers_columns", [False, True], ids=["JSON", "columns"])
async def test_page_subscribes_with_what_it_has(answers_columns):
    web = a_web()
    web.answers_columns = answers_columns
    web.script = SOUND
    await run_pages(web)
    hello, subscribe = web.subscribed[0], next(each for each in web.subscribed if "since" in each)
    assert hello == {"type": "hello", "heartbeat": True, "health": True}
    assert (subscribe["since"], subscribe["epoch"], subscribe["generation"]) == (HEAD, 3, "g")
    assert subscribe["drawings"] in (0, BASE)


@pytest.mark.parametrize(
    "times", [[], [60], [60, 120, 180], [0, 60, 3600, 10_000_000], [7, 8, 10**11]], ids=str
)
def test_newest_candle_is_found_by_the_times_of_columns(times):
    chunk = encode([Candle(time, 1.5, 1.5, 1.5, -0.0, 1 / 3) for time in times])
    assert newest_in_columns(chunk) == (times[-1] if times else None)


async def test_pages_count_the_drawings_of_every_candle():
    web = a_web()
    web.script = SOUND
    received = await run_pages(web)
    tally = received.drawn_tally
    assert (tally.expected, tally.delivered, tally.missing, tally.duplicates) == (8, 8, 0, 0)
    assert received.counts[MISSED] == received.counts[DIFFERING] == 0


async def test_pages_count_drawings_that_never_come():
    web = a_web()
    web.script = SOUND[:-2]
    received = await run_pages(web, messages=2 * 3)
    assert (received.drawn_tally.delivered, received.drawn_tally.missing) == (4, 4)


async def test_pages_count_drawings_that_are_not_those_stored():
    web = a_web()
    web.script = SOUND
    web.pages[PAST] = (frame(STORED[-1], version(1001), version(1002, "pen.2")), {})
    received = await run_pages(web)
    assert received.counts[DIFFERING] == 2


async def test_page_resumes_with_the_drawings_that_it_has():
    web = a_web()
    web.script = SOUND
    async with web.running(), crew_of_pages(web) as crew:
        await crew.attach()
        await counted(crew, "draw messages", 2 * 5)
        web.script = [cursor(1004, STORED[-1])]
        web.subscribed.clear()
        storm = await crew.storm()
        await counted(crew, "draw messages", 2 * 6)
        received = await crew.finish({SERIES: STORED}, wait=False)
    assert storm.live == 2
    assert {each["drawings"] for each in web.subscribed if "since" in each} == {1004}
    assert received.drawn_tally.missing == received.counts[MISSED] == 0


async def test_a_task_that_loses_its_cancellation_is_cancelled_again():
    started = asyncio.Event()

    async def lose_the_first() -> None:
        with suppress(asyncio.CancelledError):
            started.set()
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(lose_the_first())
    await started.wait()
    await end_tasks([task])
    assert task.cancelled()
