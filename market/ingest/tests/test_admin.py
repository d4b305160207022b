"""The admin's pages: what they show, what they refuse, what their actions ask for."""

from __future__ import annotations

import time

import pytest
from django.contrib.messages import get_messages
from django.test.utils import override_script_prefix

from market.admin import pasted
from market.domain.candle import Candle
from market.domain.feed import FeedError, FeedRefused
from market.domain.lease_store import JobReport
from market.domain.series import SeriesId
from market.exchanges.ccxt_client import check_known
from market.ingest import coverage
from market.ingest.gap_ledger import ledger
from market.ingest.gap_ranges import Evidence, GapState
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.tests.gaps import record_gap
from market.installation import words
from market.models import GapRecord, Series, WhitelistedSeries
from market.runtime import pipeline

pytestmark = pytest.mark.django_db

BTC = SeriesId.parse("sim:spot:BTC/USDT:1m")
ETH = SeriesId.parse("sim:spot:ETH/USDT:1m")
WHITELIST = "/admin/market/whitelistedseries/"
SERIES = "/admin/market/series/"
GAPS = "/admin/market/gaprecord/"


@pytest.fixture
def client(client, django_user_model):
    """Logged in as an admin, without hashing a password."""
    admin = django_user_model.objects.create(username="admin", is_staff=True, is_superuser=True)
    client.force_login(admin)
    return client


@pytest.fixture
def lease_store(monkeypatch):
    lease_store = MemoryLeaseStore()
    monkeypatch.setattr("market.ingest.supervisor.lease_store", lambda: lease_store)
    monkeypatch.setattr(coverage, "lease_store", lambda: lease_store)
    return lease_store


@pytest.fixture
def asked(monkeypatch, lease_store):
    """Backfills that workers were asked for."""
    tasks = []

    def send(task, *arguments, expires, queue=None):
        tasks.append(arguments)
        return True

    monkeypatch.setattr(coverage.dispatch, "send", send)
    return tasks


@pytest.fixture
def exchange(monkeypatch):
    """The exchange's answer to a new series: an error to raise."""
    answers = {}

    async def check(series):
        check_known(series.exchange, series.market)
        if series in answers:
            raise answers[series]

    monkeypatch.setattr(pasted.listings, "check", check)
    return answers


def messages_of(response):
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def add(client, series_id):
    return client.post(f"{WHITELIST}add/", {"series_id": series_id, "enabled": "on"})


def act(client, page, action, *rows):
    return client.post(page, {"action": action, "_selected_action": [row.pk for row in rows]})


@pytest.mark.parametrize("bad", ["nonsense", "sim:spot:BTC/USDT:7x", "sim:spot:BTC/USDT:01m"])
def test_whitelist_refuses_what_is_no_series_id(client, exchange, bad):
    response = add(client, bad)
    assert response.status_code == 200
    assert "series_id" in response.context["adminform"].form.errors
    assert not WhitelistedSeries.objects.exists()


def test_whitelist_refuses_an_unknown_exchange(client, exchange):
    response = add(client, "nowhere:spot:BTC/USDT:1m")
    assert "unknown exchange: nowhere" in response.content.decode()
    assert not WhitelistedSeries.objects.exists()


def test_whitelist_refuses_what_the_exchange_does_not_have(client, exchange):
    exchange[BTC] = FeedRefused("sim has no spot market BTC/USDT")
    assert "sim has no spot market" in add(client, str(BTC)).content.decode()
    assert not WhitelistedSeries.objects.exists()


def test_whitelist_takes_a_series_of_an_unreachable_exchange_with_a_warning(client, exchange):
    exchange[BTC] = FeedError("timed out")
    response = add(client, str(BTC))
    assert response.status_code == 302
    assert "did not answer" in messages_of(response)
    assert WhitelistedSeries.objects.get().series_id == str(BTC)


def test_whitelist_takes_a_series_the_exchange_has(client, exchange):
    response = add(client, str(BTC))
    assert response.status_code == 302
    assert "did not answer" not in messages_of(response)


def test_whitelist_entry_can_be_disabled_while_the_exchange_is_gone(client, exchange):
    row = WhitelistedSeries.objects.create(series_id=str(BTC))
    exchange[BTC] = FeedRefused("delisted")
    response = client.post(f"{WHITELIST}{row.pk}/change/", {"series_id": str(BTC)})
    assert response.status_code == 302
    assert not WhitelistedSeries.objects.get().enabled


def test_whitelist_page_shows_head_lag_status_and_error(client, lease_store, switched):
    switched(enable_whitelist_ingest=True)
    names = (str(BTC), str(ETH), "broken")
    WhitelistedSeries.objects.bulk_create(
        [WhitelistedSeries(series_id=name, enabled=name != str(ETH)) for name in names]
    )
    head = BTC.timeframe.latest_closed(time.time()) - 7 * 60
    pipeline().ingest(BTC, [Candle(head, 1.0, 2.0, 0.5, 1.5, 10.0)])
    failing = JobReport(
        state="open_breaker", started_at=1.0, last_error="429 <slow down>", crashes=3
    )
    lease_store.report({BTC: failing}, ttl=30)
    page = client.get(WHITELIST).content.decode()
    for text in (
        "open breaker",
        "<code>429 &lt;slow down&gt;</code>",
        words.as_time(head),
        "disabled",
    ):
        assert text in page
    assert "limits the rate of our requests. 3 attempts in a row have failed." in page
    assert "7 candles behind" in page or "8 candles behind" in page


def ids_of(response):
    """The rows that a list shows."""
    return {str(row) for row in response.context["cl"].result_list}


def test_whitelist_is_filtered_by_exchange_and_state(client, lease_store):
    head = BTC.timeframe.latest_closed(time.time())
    pipeline().ingest(BTC, [Candle(head, 1.0, 2.0, 0.5, 1.5, 10.0)])
    running = JobReport(state="running", started_at=1.0, is_halted=True)
    lease_store.report({BTC: running}, ttl=30)
    failing = JobReport(state="waiting", started_at=1.0, last_error="TimeoutError")
    lease_store.report({ETH: failing}, ttl=30)
    other, off = "simon:spot:BTC/USDT:1m", "sim:spot:OFF/USDT:1m"
    for name in (str(BTC), str(ETH), other, off):
        WhitelistedSeries.objects.create(series_id=name, enabled=name != off)
    for query, shown in {
        "exchange=sim": {str(BTC), str(ETH), off},
        "exchange=simon": {other},
        "exchange=nowhere": set(),
        "state=running": {str(BTC)},
        "state=failing": {str(BTC), str(ETH)},
        "state=unfollowed": {other},
        "state=disabled": {off},
        "state=behind": {str(ETH), other},
        "state=halted": {str(BTC)},
        "state=nonsense": {str(BTC), str(ETH), other, off},
        "exchange=sim&state=waiting&enabled__exact=1": {str(ETH)},
    }.items():
        assert ids_of(client.get(f"{WHITELIST}?{query}")) == shown, query
    page = client.get(WHITELIST).content.decode()
    assert "?exchange=sim" in page and "?state=open_breaker" in page


def test_stored_series_and_gaps_are_filtered_by_exchange_and_state(client):
    pipeline().ingest(BTC, [Candle(60, 1.0, 2.0, 0.5, 1.5, 10.0)])
    other = SeriesId.parse("simon:spot:BTC/USDT:1m")
    Series.objects.create(name=str(other))
    record_gap(BTC, 120, 180)
    for query, shown in {
        "exchange=sim": {str(BTC)},
        "exchange=simon": {str(other)},
        "state=stored": {str(BTC)},
        "state=empty": {str(other)},
        "state=gaps": {str(BTC)},
    }.items():
        assert ids_of(client.get(f"{SERIES}?{query}")) == shown, query
    assert len(ids_of(client.get(f"{GAPS}?exchange=sim"))) == 1
    assert not ids_of(client.get(f"{GAPS}?exchange=simon"))
    GapRecord.objects.update(reason="exchange unreachable")
    assert len(ids_of(client.get(f"{GAPS}?reason=exchange+unreachable"))) == 1
    assert not ids_of(client.get(f"{GAPS}?reason=not+on+the+exchange"))


@pytest.mark.parametrize("prefix", ["", "/canvas"])
def test_lists_lead_to_the_charts(client, lease_store, prefix):
    WhitelistedSeries.objects.create(series_id=str(BTC))
    pipeline().ingest(BTC, [Candle(60, 1.0, 2.0, 0.5, 1.5, 10.0)])
    record_gap(BTC, 120, 180)
    link = f'href="{prefix}/?series=sim%3Aspot%3ABTC%2FUSDT%3A1m"'
    with override_script_prefix(f"{prefix}/"):
        for page in (WHITELIST, SERIES, GAPS):
            assert link in client.get(page).content.decode(), page


def test_whitelist_page_needs_as_many_queries_for_many_rows_as_for_one(
    client, lease_store, django_assert_num_queries, django_assert_max_num_queries
):
    WhitelistedSeries.objects.create(series_id=str(BTC))
    with django_assert_max_num_queries(30) as one_row:
        client.get(WHITELIST)
    for number in range(30):
        WhitelistedSeries.objects.create(series_id=f"sim:spot:C{number}/USDT:1m")
    with django_assert_num_queries(len(one_row)):
        client.get(WHITELIST)


def test_whitelist_actions_enable_disable_and_backfill(client, asked):
    rows = [WhitelistedSeries.objects.create(series_id=str(each)) for each in (BTC, ETH)]
    act(client, WHITELIST, "disable", *rows)
    assert not WhitelistedSeries.objects.filter(enabled=True).exists()
    act(client, WHITELIST, "enable", rows[0])
    assert WhitelistedSeries.objects.get(enabled=True) == rows[0]
    assert "2 of 2 backfills" in messages_of(act(client, WHITELIST, "backfill_now", *rows))
    assert [arguments[0] for arguments in asked] == [str(BTC), str(ETH)]
    assert all(end - start == 1999 * 60 for _, start, end, _ in asked)


def test_series_page_shows_heads_and_open_gaps_and_changes_nothing(client):
    pipeline().ingest(BTC, [Candle(60, 1.0, 2.0, 0.5, 1.5, 10.0)])
    for time_, state in ((120, GapState.OPEN), (240, GapState.QUIET), (360, GapState.OPEN)):
        record_gap(BTC, time_, time_, state)
    response = client.get(SERIES)
    (row,) = response.context["cl"].result_list
    assert (row.name, row.open_gaps) == (str(BTC), 2)
    assert "1970-01-01 00:01:00" in response.content.decode()
    assert client.post(f"{SERIES}add/").status_code == 403
    assert client.post(f"{SERIES}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Series.objects.count() == 1


@pytest.mark.parametrize("state", ["quiet", "unserved", "unanswered"])
def test_gap_page_tries_again_whatever_the_state(client, asked, state):
    record_gap(BTC, 120, 180, GapState(state), attempts=10)
    row = GapRecord.objects.get()
    assert state in client.get(GAPS).content.decode()
    response = act(client, f"{GAPS}?state={state}", "repair", row)
    assert "1 of 1 gaps will be tried again" in messages_of(response)
    assert asked == [(str(BTC), 120, 180, "gap")]
    (entry,) = ledger().entries()
    assert (entry.state, entry.attempts, entry.evidence) == (GapState.OPEN, 0, None)
    assert ledger().due(limit=1) == [entry]


def test_gap_page_asks_for_many_gaps_together_and_for_no_repaired_one(client, asked):
    for minute in (10, 20, 30):
        record_gap(BTC, minute * 60, minute * 60, GapState.UNANSWERED)
    record_gap(BTC, 2_400, 2_400, GapState.REPAIRED)
    response = act(client, GAPS, "repair", *GapRecord.objects.all())
    assert "3 of 4 gaps will be tried again" in messages_of(response)
    assert asked == [(str(BTC), 600, 1_800, "gap")]
    assert ledger().entries()[-1].state is GapState.REPAIRED


def test_gap_page_shows_state_reason_evidence_and_next_attempt(client):
    seen = Evidence(asked=(0, 600), bars=(60, 240))
    record_gap(BTC, 120, 180, GapState.QUIET, evidence=seen, reason="nothing was traded")
    record_gap(BTC, 900, 960, GapState.DROPPED, rows=2, reason="low above open")
    page = client.get(GAPS).content.decode()
    for text in (
        "has candles at 1970-01-01 00:01:00 and",
        "2 rows were refused",
        "low above open",
    ):
        assert text in page
    assert "The next is due at" in page and "Final: nothing was traded." in page
    for state, count in (("quiet", 1), ("dropped", 1), ("open", 0), ("nonsense", 2)):
        assert len(client.get(GAPS, {"state": state}).context["cl"].result_list) == count


def test_gap_page_refuses_repairs_of_a_viewer(client, asked, django_user_model):
    record_gap(BTC, 120, 180)
    django_user_model.objects.update(is_superuser=False)
    response = act(client, GAPS, "repair", GapRecord.objects.get())
    assert response.status_code == 403
    assert asked == []


def test_only_series_without_candles_are_removed(client):
    empty = Series.objects.create(name=str(ETH))
    pipeline().ingest(BTC, [Candle(60, 1.0, 1.0, 1.0, 1.0, 1.0)])
    stored = Series.objects.get(name=str(BTC))
    chosen = {"action": "prune", "_selected_action": [empty.pk, stored.pk]}
    answer = client.post(SERIES, chosen)
    assert "1 series removed, 1 kept" in messages_of(answer)
    assert list(Series.objects.all()) == [stored]
