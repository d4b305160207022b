"""Which series a watcher may have followed, and what a wish costs before it is admitted."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from market.domain.feed import FeedError, FeedRefused
from market.domain.lease_store import Admission, FollowRefused, Refusal
from market.domain.series import SeriesId
from market.ingest.admission import AdmissionPorts, Gate

PINNED = SeriesId.parse("binance:spot:BTC/USDT:1m")
LISTED = SeriesId.parse("binance:spot:ETH/USDT:1m")
INVENTED = SeriesId.parse("binance:spot:NOPE/USDT:1m")
FOREIGN = SeriesId.parse("kraken:spot:BTC/USDT:1m")
UNKNOWN = SeriesId.parse("nowhere:spot:BTC/USDT:1m")


class Bench:
    """A gate, what it asks, and how often it asks it."""

    def __init__(self):
        self.calls = Counter()
        self.stored = set()
        self.answers = {INVENTED: FeedRefused("no such market")}
        self.gate = Gate(
            AdmissionPorts(
                whitelist=self.whitelist,
                has_candles=self.has_candles,
                check_listed=self.check_listed,
            )
        )

    def has_candles(self, series):
        self.calls["has_candles"] += 1
        return series in self.stored

    def whitelist(self):
        self.calls["whitelist"] += 1
        return [PINNED]

    async def check_listed(self, series):
        self.calls["listing"] += 1
        if series in self.answers:
            raise self.answers[series]

    async def refusal(self, series):
        with pytest.raises(FollowRefused) as refused:
            await self.gate.admit(series)
        assert str(series) in str(refused.value)
        return refused.value.code


@pytest.fixture
def bench(switched):
    switched(
        enable_whitelist_ingest=True,
        ondemand_max_jobs=5,
        ondemand_max_groups=3,
        ondemand_max_series_per_address=2,
        ondemand_max_groups_per_address=1,
    )
    return Bench()


async def test_whitelisted_series_is_admitted_without_asking_anything(bench):
    admitted = await bench.gate.admit(PINNED)
    assert PINNED in admitted.pinned
    assert bench.calls["listing"] == 0


async def test_listed_series_of_a_whitelisted_exchange_is_admitted_with_the_limits(bench):
    admitted = await bench.gate.admit(LISTED)
    assert admitted == Admission(
        idle_ttl=60,
        limit=5,
        venue_limit=3,
        client_limit=2,
        client_venue_limit=1,
        pinned=frozenset({PINNED}),
    )


async def test_series_that_the_exchange_does_not_list_is_unknown(bench):
    assert await bench.refusal(INVENTED) is Refusal.UNKNOWN_SYMBOL


async def test_exchange_that_the_operator_has_not_named_is_not_asked(bench):
    assert await bench.refusal(FOREIGN) is Refusal.EXCHANGE_NOT_SERVED
    assert bench.calls["listing"] == 0


async def test_exchange_without_a_feed_is_refused_as_ever(bench):
    assert await bench.refusal(UNKNOWN) is Refusal.CAPACITY
    assert not bench.calls


@pytest.mark.parametrize("error", [FeedError("down"), TimeoutError()])
async def test_series_is_refused_while_the_listing_can_not_be_read(bench, error):
    bench.answers[LISTED] = error
    assert await bench.refusal(LISTED) is Refusal.EXCHANGE_UNAVAILABLE


async def test_series_with_candles_is_followed_through_an_outage_of_its_exchange(bench):
    bench.answers[LISTED] = FeedError("down")
    bench.stored.add(LISTED)
    assert await bench.gate.admit(LISTED)


@pytest.mark.parametrize("series", [FOREIGN, INVENTED])
async def test_series_with_candles_is_served_even_if_it_is_not_followed(bench, series):
    bench.stored.add(series)
    assert await bench.gate.admit(series) is None


async def test_named_exchanges_replace_those_of_the_whitelist(bench, switched):
    switched(ondemand_exchanges=" kraken , okx")
    assert await bench.gate.admit(FOREIGN)
    assert await bench.refusal(LISTED) is Refusal.EXCHANGE_NOT_SERVED
    switched(ondemand_exchanges="*")
    assert await bench.gate.admit(LISTED)


async def test_local_exchange_is_served_where_its_address_is_set(bench, switched):
    local = SeriesId.parse("sim:spot:BTC/USDT:1m")
    assert await bench.refusal(local) is Refusal.EXCHANGE_NOT_SERVED
    switched(sim_url="http://127.0.0.1:9999")
    assert await bench.gate.admit(local)


async def test_wishes_at_the_same_time_share_one_read_of_the_whitelist(bench):
    await asyncio.gather(*(bench.gate.admit(LISTED) for _ in range(50)))
    assert bench.calls["whitelist"] == 1


async def test_whitelist_that_is_switched_off_pins_nothing(bench, switched):
    switched(enable_whitelist_ingest=False)
    admitted = await bench.gate.admit(PINNED)
    assert admitted.pinned == frozenset()


async def test_flood_of_wishes_is_no_flood_of_queries(bench):
    for _ in range(50):
        assert await bench.refusal(INVENTED) is Refusal.UNKNOWN_SYMBOL
    assert bench.calls["has_candles"] == 1
    assert bench.calls["whitelist"] == 1


async def test_whitelist_that_could_not_be_read_is_read_again(bench):
    answers = [OSError("away"), [PINNED]]

    def whitelist():
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    gate = Gate(
        AdmissionPorts(
            whitelist=whitelist,
            has_candles=bench.has_candles,
            check_listed=bench.check_listed,
        )
    )
    with pytest.raises(OSError, match="away"):
        await gate.admit(PINNED)
    assert PINNED in (await gate.admit(PINNED)).pinned
