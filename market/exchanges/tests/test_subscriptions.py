"""Subscriptions that an exchange refuses or ignores are noticed, and their series go elsewhere.

The local exchange carries only `MOST` series on a socket here; each way of refusing more of them is
one that exchanges have.
"""

from __future__ import annotations

import itertools

import pytest

from lab.waiting import eventually
from market.domain.feed import Interrupted, SourceKind
from market.domain.series import SeriesId
from market.exchanges.binance_stream import BinanceStream
from market.exchanges.ccxt_client import open_exchange
from market.exchanges.plain_stream import PlainStream
from market.exchanges.socket_plan import SocketPlan
from market.exchanges.streams import StreamLimits
from market.exchanges.tests.listening import closed_times, events_of, is_gapless
from market.local_exchange.connection import Connection
from market.singletons import reset
from tests.examples import IS_THOROUGH

MOST = 2
SYMBOLS = ["BTC/USDT", "ETH/USDT", "BNB/USDT", "SOL/USDT", "XRP/USDT"]
SERIES = [SeriesId.parse(f"sim:spot:{symbol}:1s") for symbol in SYMBOLS]
BAD = SERIES[2]
LIMITS = StreamLimits(
    fast_patience=1.5,
    check_every=0.05,
    first_retry=0.05,
    longest_retry=0.2,
    first_restream=0.5,
)


def _refuse(connection, streams, number):
    return {"error": {"code": 2, "msg": "too many subscriptions"}, "id": number}


def _refuse_as_ccxt_does_not_know(connection, streams, number):
    return {"error": {"code": 0, "msg": "too many subscriptions"}, "id": number}


def _ignore(connection, streams, number):
    return {"result": None, "id": number}


def _close(connection, streams, number):
    connection.close(abort=True)
    return {"result": None, "id": number}


WAYS = {
    "refused": _refuse,
    "refused unknown": _refuse_as_ccxt_does_not_know,
    "ignored": _ignore,
    "closed": _close,
}


@pytest.fixture(autouse=True)
def _nothing_learned():
    reset()
    yield
    reset()


@pytest.fixture
def limited(exchange, monkeypatch):
    """Make the exchange refuse a request to subscribe, by a way and a predicate."""
    change = Connection._change
    requests = []

    def limit(way, refuses=lambda connection, streams: _would_have(connection, streams) > MOST):
        def limited_change(connection, method, streams, number, hub):
            if method == "SUBSCRIBE":
                requests.append(streams)
                if refuses(connection, streams):
                    return WAYS[way](connection, streams, number)
            return change(connection, method, streams, number, hub)

        monkeypatch.setattr(Connection, "_change", limited_change)
        return requests

    return limit


def _would_have(connection, streams):
    return len(_streams_of(connection) | set(streams))


def _streams_of(connection):
    # Without the end of the address, which the exchange takes for a stream.
    return {name for name in connection.streams if "@" in name}


KINDS = {"binance": BinanceStream, "plain": PlainStream}


def listening(kind, series, *, pinned=(), limits=LIMITS, message_ms=None):
    client = open_exchange("sim", "spot")
    if message_ms is not None:
        client.tokenBucket["refillRate"] = 1 / message_ms
    return events_of(KINDS[kind], client, series, limits=limits, pinned=pinned)


def sources(stream):
    return {series: stream.source(series) for series in SERIES if stream.source(series)}


def examples(suite, more):
    """Pairs of kind and way; `more` are left to the thorough profile."""
    chosen = [*suite, *more] if IS_THOROUGH else suite
    return pytest.mark.parametrize(("kind", "way"), chosen)


@examples(
    [("binance", "refused"), ("binance", "ignored"), ("plain", "refused unknown")],
    [("binance", "refused unknown"), ("binance", "closed")]
    + [("plain", "refused"), ("plain", "ignored"), ("plain", "closed")],
)
async def test_series_beyond_the_limit_of_a_socket_are_streamed_by_others(
    exchange, limited, way, kind
):
    limited(way)
    async with listening(kind, SERIES) as (stream, events):
        subscribers = exchange.exchange.hub.subscribers
        await eventually(lambda: len(subscribers()) == len(SERIES), seconds=40)
        counts = {series: len(closed_times(events, series)) for series in SERIES}
        await eventually(
            lambda: all(len(closed_times(events, one)) > counts[one] + 1 for one in SERIES),
            seconds=20,
        )
        assert {source.kind for source in sources(stream).values()} == {SourceKind.STREAM}
        sockets = [_streams_of(one) for one in exchange.exchange.hub.connections]
        assert max(map(len, sockets)) <= MOST
        assert len(sockets) <= len(SERIES)


async def test_subscription_that_waits_for_the_rate_of_messages_is_not_ignored(exchange):
    async with listening("plain", SERIES, message_ms=600) as (_, events):
        await eventually(lambda: all(closed_times(events, one) for one in SERIES), seconds=30)
        sockets = [_streams_of(one) for one in exchange.exchange.hub.connections]
        assert sorted(map(len, sockets))[-1] == len(SERIES)


async def test_the_31st_subscription_of_a_socket_is_refused_and_goes_to_another(exchange, limited):
    limited("refused", lambda connection, streams: _would_have(connection, streams) > 30)
    timeframes = ("1s", "1m", "3m", "5m", "15m", "30m", "1h")
    series = [
        SeriesId.parse(f"sim:spot:{symbol}:{timeframe}")
        for symbol, timeframe in itertools.product(SYMBOLS, timeframes)
    ]
    async with listening("binance", series[:30]) as (stream, events):
        subscribers = exchange.exchange.hub.subscribers
        await eventually(lambda: len(subscribers()) == 30, seconds=20)
        await eventually(lambda: {e.series for e in events} >= set(series[:30]), seconds=20)
        stream.follow(frozenset(series[:31]), frozenset())
        await eventually(lambda: len(subscribers()) == 31, seconds=40)
        await eventually(lambda: any(e.series == series[30] for e in events), seconds=20)
        assert stream.source(series[30]).kind is SourceKind.STREAM
        sockets = sorted(len(_streams_of(one)) for one in exchange.exchange.hub.connections)
        assert sockets[-2:] == [1, 30]
        assert not [each for each in events if isinstance(each, Interrupted)]


@examples(
    [("binance", "refused"), ("plain", "ignored")],
    [("binance", "ignored"), ("plain", "refused")],
)
async def test_series_that_is_never_streamed_is_polled_and_harms_no_other(
    exchange, limited, way, kind
):
    name = BAD.symbol.replace("/", "").lower()
    limited(way, lambda connection, streams: any(one.startswith(name) for one in streams))
    async with listening(kind, SERIES[:2]) as (stream, events):
        await eventually(lambda: all(closed_times(events, one) for one in SERIES[:2]), seconds=15)
        stream.follow(frozenset(SERIES[:3]), frozenset())
        await eventually(
            lambda: (source := stream.source(BAD)) and source.kind is SourceKind.POLL, seconds=30
        )
        assert stream.source(BAD).reason
        await eventually(lambda: len(closed_times(events, BAD)) >= 2, seconds=15)
        for series in SERIES[:2]:
            assert is_gapless(closed_times(events, series))
        others = {e.series for e in events if isinstance(e, Interrupted)} - {BAD}
        assert others == set()


@pytest.mark.parametrize("kind", KINDS)
async def test_polled_series_is_streamed_once_the_exchange_serves_it(exchange, limited, kind):
    is_refused = [True]
    limited("refused", lambda connection, streams: is_refused[0])
    async with listening(kind, SERIES[:1]) as (stream, events):
        series = SERIES[0]
        await eventually(
            lambda: (source := stream.source(series)) and source.kind is SourceKind.POLL,
            seconds=30,
        )
        is_refused[0] = False
        await eventually(lambda: exchange.exchange.hub.subscribers(), seconds=15)
        await eventually(lambda: stream.source(series).kind is SourceKind.STREAM)
        before = len(closed_times(events, series))
        await eventually(lambda: len(closed_times(events, series)) > before + 1)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_learned_holds_for_the_next_job(exchange, limited, kind):
    requests = limited("refused")
    subscribers = exchange.exchange.hub.subscribers
    async with listening(kind, SERIES) as (_, events):
        await eventually(lambda: all(closed_times(events, one) for one in SERIES), seconds=40)
    await eventually(lambda: not subscribers())
    requests.clear()
    async with listening(kind, SERIES) as (_, events):
        await eventually(lambda: all(closed_times(events, one) for one in SERIES), seconds=15)
    assert max(map(len, requests)) <= MOST


@pytest.mark.parametrize("kind", KINDS)
async def test_pinned_series_have_sockets_of_their_own_and_the_last_ones(exchange, kind):
    limits = StreamLimits(fast_patience=1.5, check_every=0.05, series_a_socket=1, sockets=4)
    async with listening(kind, SERIES, pinned=SERIES[:2], limits=limits) as (stream, events):
        await eventually(lambda: len(sources(stream)) == len(SERIES), seconds=15)
        await eventually(lambda: all(closed_times(events, one) for one in SERIES), seconds=15)
        kinds = [stream.source(series).kind for series in SERIES]
        assert kinds[:2] == [SourceKind.STREAM] * 2
        assert kinds.count(SourceKind.POLL) >= 1
        assert stream.source(SERIES[-1]).reason == "all connections to the exchange are in use"


# The plan itself


def names(count):
    return [SeriesId.parse(f"x:spot:A{number}/B:1m") for number in range(count)]


def served(limit, series, *, bad=frozenset(), one_by_one=True):
    """The plan after an exchange with `limit` series a socket took or refused everything."""
    plan = SocketPlan("x:spot", room=100, sockets=40)
    rounds = 0
    waiting = list(series)
    while waiting:
        rounds += 1
        placed = [(each, plan.place(each, is_pinned=False)) for each in waiting]
        waiting = []
        by_socket = itertools.groupby(
            sorted((pair for pair in placed if pair[1]), key=lambda pair: pair[1].number),
            key=lambda pair: pair[1],
        )
        for socket, pairs in [(socket, list(pairs)) for socket, pairs in by_socket]:
            new = [each for each, _ in pairs]
            waiting += _subscribe(plan, socket, new, limit=limit, bad=bad, one_by_one=one_by_one)
    return plan, rounds


def _subscribe(plan, socket, new, *, limit, bad, one_by_one):
    """One request for each series, or one for all; returns those that have to be placed again."""
    taken = len(socket.series) - len(new)
    while new:
        if one_by_one:
            fine = [each for each in new if each not in bad][: max(0, limit - taken)]
            refused = [each for each in new if each not in fine]
        else:
            is_refused = taken + len(new) > limit or bad & set(new)
            fine, refused = ([], new) if is_refused else (new, [])
        for each in fine:
            plan.answered(each)
        again = plan.refused(refused, "refused")
        if not again:
            return [each for each in refused if each not in plan.unserved]
        moved = [each for each in refused if each not in again and each not in plan.unserved]
        return moved + _subscribe(plan, socket, again, limit=limit, bad=bad, one_by_one=one_by_one)
    return []


@pytest.mark.parametrize("one_by_one", [True, False])
def test_plan_serves_all_with_few_sockets_and_learns_the_limit(one_by_one):
    reset()
    plan, rounds = served(30, names(100), one_by_one=one_by_one)
    assert plan.unserved == {}
    assert all(len(socket.series) <= 30 for socket in plan.sockets.values())
    assert len(plan.sockets) <= 5
    assert rounds <= 6
    assert plan.room == (30 if one_by_one else 25)


@pytest.mark.parametrize("one_by_one", [True, False])
def test_plan_takes_one_bad_series_for_no_limit(one_by_one):
    reset()
    series = names(100)
    plan, _ = served(1_000, series, bad=frozenset(series[70:71]), one_by_one=one_by_one)
    assert set(plan.unserved) == {series[70]}
    assert plan.room >= 50
    assert len(plan.sockets) <= 10


def test_plan_leaves_half_of_the_sockets_to_pinned_series():
    plan = SocketPlan("x:spot", room=1, sockets=4)
    series = names(6)
    places = [plan.place(each, is_pinned=False) for each in series[:3]]
    assert [place is not None for place in places] == [True, True, False]
    assert all(plan.place(each, is_pinned=True) for each in series[3:5])
    assert plan.place(series[5], is_pinned=True) is None
    plan.leave(series[:1])
    plan.drop_empty("0")
    assert plan.place(series[5], is_pinned=True) is not None
