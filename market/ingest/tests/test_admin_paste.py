"""Many series pasted into the admin: each entry has an outcome, and all are saved or none."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.db import IntegrityError
from django.test.utils import CaptureQueriesContext

from market.admin import paste, pasted
from market.admin.pasted import MOST_ENTRIES, MOST_VENUES, entries_of, series_of_text
from market.domain.feed import FeedError
from market.domain.lease_store import Venue
from market.domain.series import SeriesIdError
from market.exchanges.ccxt_client import check_known, known_exchanges, no_symbol, no_timeframe
from market.exchanges.grids import ShiftedGrid
from market.models import WhitelistedSeries

PAGE = "/admin/market/whitelistedseries/paste/"
LIST = "/admin/market/whitelistedseries/"
SIM = Venue("sim", "futures")
ALL_KINDS = """binance:futures:BTC/USDT:1m
BTC/USDT 5m, eth/usdt 1h; "sim:spot:BTC/USDT:1m",
# a remark
BTC/USDT 5m
nowhere:spot:BTC/USDT:1m
sim:options:BTC/USDT:1m
NOPE/USDT 1m
BTC/USDT 7m
BTC/USDT 1x
BTC/USDT 60m
binance:futures:BTC/USDT:USDT:5m
BTCUSDT 1m
down:spot:BTC/USDT:1m
sim:futures:OLD/USDT:1m
sim:futures:OFF/USDT:1m
"""


@pytest.fixture
def user(django_user_model):
    return django_user_model.objects.create(username="staff", is_staff=True)


@pytest.fixture
def reader(client, user):
    """Logged in with the permission to view only."""
    user.user_permissions.add(Permission.objects.get(codename="view_whitelistedseries"))
    client.force_login(user)
    return client


@pytest.fixture
def adder(reader, user):
    user.user_permissions.add(Permission.objects.get(codename="add_whitelistedseries"))
    return reader


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Exchanges with BTC, ETH, OLD and OFF on 1m, 5m and 1h; `down` does not answer."""
    found = []

    async def check(series):
        found.append(str(series))
        if series.exchange == "down":
            raise FeedError("markets of down: RequestTimeout: 10 s")
        if series.symbol.partition("/")[0] not in {"BTC", "ETH", "OLD", "OFF"}:
            raise no_symbol(series)
        if series.timeframe.text not in {"1m", "5m", "1h"}:
            raise no_timeframe(series)

    def known(exchange, market):
        if exchange != "down":
            check_known(exchange, market)

    monkeypatch.setattr(pasted.listings, "check", check)
    monkeypatch.setattr(pasted, "check_known", known)
    return found


def send(client, text, *, page=PAGE, **more):
    form = {"text": text, "exchange": "sim", "market": "futures", "enabled": "on"}
    return client.post(page, {**form, "check": "1", **more})


def save(client, text, confirmed):
    return send(client, text, save="1", confirmed=confirmed)


def outcomes(response):
    return [(entry.line, str(entry.series), entry.code) for entry in response.context["entries"]]


def messages_of(response):
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


@pytest.mark.parametrize(
    ("text", "series_id"),
    [
        ("binance:spot:BTC/USDT:1m", "binance:spot:BTC/USDT:1m"),
        ("Binance:Spot:BTC/USDT:1m", "binance:spot:BTC/USDT:1m"),
        ("binance spot BTC/USDT 1m", "binance:spot:BTC/USDT:1m"),
        ("binance:futures:BTC/USDT:USDT:1m", "binance:futures:BTC/USDT:USDT:1m"),
        ("BTC/USDT 1m", "sim:futures:BTC/USDT:1m"),
        ("btc/usdt\t01m", "sim:futures:BTC/USDT:1m"),
        ("BTC/USDT:1m", "sim:futures:BTC/USDT:1m"),
        ("BTC/USDT:USDT 4h", "sim:futures:BTC/USDT:USDT:4h"),
        ("kBONK/USDT 1m", "sim:futures:kBONK/USDT:1m"),
    ],
)
def test_entry_may_have_several_forms(text, series_id):
    assert str(series_of_text(text, SIM)) == series_id


@pytest.mark.parametrize("text", ["BTCUSDT", "BTCUSDT 1m", ":", "a:b:c", "BTC/USDT", "BTC/USDT 1x"])
def test_entry_without_a_series_is_refused(text):
    with pytest.raises(SeriesIdError):
        series_of_text(text, SIM)


def test_entries_are_found_in_lines_lists_and_quotes():
    text = "[\"A/B 1m\", 'C/D 1m']\r\n\n  \nE/F 1m，G/H 1m；I/J 1m # later\n# K/L 1m\n• M/N 1m"
    assert [(each.line, each.text) for each in entries_of(text)] == [
        (1, "A/B 1m"),
        (1, "C/D 1m"),
        (4, "E/F 1m"),
        (4, "G/H 1m"),
        (4, "I/J 1m"),
        (6, "M/N 1m"),
    ]


@pytest.mark.django_db
class TestCheck:
    def test_every_entry_has_its_outcome_and_nothing_is_saved(self, adder, asked):
        WhitelistedSeries.objects.create(series_id="sim:futures:OLD/USDT:1m")
        WhitelistedSeries.objects.create(series_id="sim:futures:OFF/USDT:1m", enabled=False)
        response = send(adder, ALL_KINDS)
        assert outcomes(response) == [
            (1, "binance:futures:BTC/USDT:1m", "new"),
            (2, "sim:futures:BTC/USDT:5m", "new"),
            (2, "sim:futures:ETH/USDT:1h", "new"),
            (2, "sim:spot:BTC/USDT:1m", "new"),
            (4, "sim:futures:BTC/USDT:5m", "duplicate"),
            (5, "None", "unknown_exchange"),
            (6, "None", "unknown_market"),
            (7, "sim:futures:NOPE/USDT:1m", "unknown_symbol"),
            (8, "sim:futures:BTC/USDT:7m", "unknown_timeframe"),
            (9, "None", "invalid_timeframe"),
            (10, "None", "series_alias"),
            (11, "None", "series_alias"),
            (12, "None", "invalid_series_id"),
            (13, "down:spot:BTC/USDT:1m", "unchecked"),
            (14, "sim:futures:OLD/USDT:1m", "exists"),
            (15, "sim:futures:OFF/USDT:1m", "exists"),
        ]
        page = response.content.decode()
        for shown in (
            "already on line 2",
            "unknown exchange: nowhere",
            "unknown market: options (spot or futures)",
            "sim has no futures market NOPE/USDT",
            "sim has no timeframe 7m",
            "unsupported timeframe unit: &#x27;x&#x27;",
            "sim:futures:BTC/USDT:60m is another name of sim:futures:BTC/USDT:1h: use that",
            "another name of binance:futures:BTC/USDT:5m",
            "write it as BTC/USDT 1m",
            "down did not answer, so the series is not checked.",
            "in the whitelist, but disabled",
            "Add 5 series",
        ):
            assert shown in page
        assert "RequestTimeout" not in page
        assert WhitelistedSeries.objects.count() == 2
        # Once each, and not what is refused or there already.
        assert sorted(asked) == sorted({*asked}) and len(asked) == 7

    def test_derived_series_needs_only_its_base_on_the_exchange(self, adder, asked, switched):
        switched(enable_derived_timeframes=True, derived_timeframes="7m")
        assert outcomes(send(adder, "BTC/USDT 7m")) == [(1, "sim:futures:BTC/USDT:7m", "new")]
        assert asked == ["sim:futures:BTC/USDT:1m"]

    def test_series_on_another_grid_is_refused_with_the_one_there_is(self, adder, monkeypatch):
        async def check(series):
            raise ShiftedGrid(series, 16 * 3600)

        monkeypatch.setattr(pasted.listings, "check", check)
        response = send(adder, "BTC/USDT 1d")
        assert outcomes(response) == [(1, "sim:futures:BTC/USDT:1d", "shifted_grid")]
        assert "use sim:futures:BTC/USDT:1d~16h" in response.content.decode()
        refused = adder.post(f"{LIST}add/", {"series_id": "sim:futures:BTC/USDT:1d"})
        assert "use sim:futures:BTC/USDT:1d~16h" in refused.content.decode()
        assert not WhitelistedSeries.objects.exists()

    def test_text_has_bounds(self, adder, asked):
        for text, code in (
            ("", "required"),
            ("# only a remark", "no_entries"),
            ("BTC/USDT 1m\n" * (MOST_ENTRIES + 1), "too_many_entries"),
            ("x" * (pasted.MOST_CHARACTERS + 1), "max_length"),
        ):
            form = send(adder, text).context["form"]
            assert [error.code for error in form.errors["text"].as_data()] == [code]
        assert asked == []

    def test_only_some_listings_are_read_at_once(self, adder, asked):
        exchanges = sorted(known_exchanges())[: MOST_VENUES + 2]
        found = outcomes(send(adder, "\n".join(f"{each}:spot:BTC/USDT:1m" for each in exchanges)))
        assert [code for _, _, code in found] == ["new"] * MOST_VENUES + ["too_many_markets"] * 2
        assert len(asked) == MOST_VENUES

    def test_many_entries_need_as_many_queries_as_one(self, adder, django_assert_num_queries):
        send(adder, "BTC/USDT 1m")
        with CaptureQueriesContext(paste.transaction.get_connection()) as one:
            send(adder, "BTC/USDT 1m")
        with django_assert_num_queries(len(one)):
            send(adder, "\n".join(f"BTC/U{n} 1m" for n in range(MOST_ENTRIES)))

    def test_form_begins_with_the_usual_exchange(self, adder):
        WhitelistedSeries.objects.create(series_id="okx:spot:BTC/USDT:1m")
        assert adder.get(PAGE).context["form"].initial == {"exchange": "okx", "market": "spot"}


@pytest.mark.django_db
class TestSave:
    TEXT = "BTC/USDT 1m\nNOPE/USDT 1m\nETH/USDT 1m"
    CONFIRMED = ("sim:futures:BTC/USDT:1m", "sim:futures:ETH/USDT:1m")

    def test_confirmed_series_are_added_and_logged(self, adder, user):
        response = save(adder, self.TEXT, self.CONFIRMED)
        assert (response.status_code, response["Location"]) == (302, LIST)
        assert "2 series added." in messages_of(response)
        rows = WhitelistedSeries.objects.all()
        assert [(row.series_id, row.enabled) for row in rows] == [
            (each, True) for each in self.CONFIRMED
        ]
        assert {(entry.user, entry.object_repr) for entry in LogEntry.objects.all()} == {
            (user, each) for each in self.CONFIRMED
        }

    def test_series_may_be_added_without_following_them_yet(self, adder):
        send(adder, self.TEXT, save="1", confirmed=self.CONFIRMED, enabled="")
        assert list(WhitelistedSeries.objects.values_list("enabled", flat=True)) == [False, False]

    @pytest.mark.parametrize(
        "confirmed", [(), CONFIRMED[:1], (*CONFIRMED, "sim:spot:NOPE/USDT:1m"), ("nonsense",)]
    )
    def test_only_what_was_shown_is_saved(self, adder, confirmed):
        response = save(adder, self.TEXT, confirmed)
        assert "Nothing is saved" in messages_of(response)
        assert [code for _, _, code in outcomes(response)] == ["new", "unknown_symbol", "new"]
        assert not WhitelistedSeries.objects.exists()

    def test_all_are_saved_or_none(self, adder, monkeypatch):
        # Another admin adds one between the check and the transaction.
        checked = pasted.checked

        def and_then(entries, venue):
            found = checked(entries, venue)
            WhitelistedSeries.objects.get_or_create(series_id=self.CONFIRMED[1])
            return found

        monkeypatch.setattr(paste, "checked", and_then)
        response = save(adder, self.TEXT, self.CONFIRMED)
        assert "Nothing is saved" in messages_of(response)
        assert [code for _, _, code in outcomes(response)] == ["new", "unknown_symbol", "exists"]
        assert [row.series_id for row in WhitelistedSeries.objects.all()] == [self.CONFIRMED[1]]
        assert not LogEntry.objects.exists()

    def test_failing_log_saves_nothing(self, adder, monkeypatch):
        def refuse(*given, **named):
            raise IntegrityError

        monkeypatch.setattr(LogEntry.objects, "log_actions", refuse)
        save(adder, self.TEXT, self.CONFIRMED)
        assert not WhitelistedSeries.objects.exists()


@pytest.mark.django_db
def test_pasting_requires_the_permission_to_add(reader, client, asked):
    assert PAGE not in reader.get(LIST).content.decode()
    assert reader.get(PAGE).status_code == 403
    assert save(reader, TestSave.TEXT, TestSave.CONFIRMED).status_code == 403
    client.logout()
    assert client.get(PAGE).status_code == 302
    assert not WhitelistedSeries.objects.exists() and asked == []


@pytest.mark.django_db
def test_list_leads_to_the_form(adder):
    assert f'href="{PAGE}"' in adder.get(LIST).content.decode()
    page = adder.get(PAGE).content.decode()
    assert " style=" not in page and "onclick" not in page
