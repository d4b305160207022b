"""What is the same for everyone, without Django: the same answers, and never those of before."""

from __future__ import annotations

import os

import orjson
import pytest

from market import blocking
from market.api.tests.asking import CountedDjango, ask
from market.exchanges.listings import KnownListing, ListingState
from market.ingest import symbols
from market.models import WhitelistedSeries
from trade_canvas.edge.script_name import PREFIX
from trade_canvas.edge.shared_answers import SharedAnswers

CATALOG = "/api/factor/catalog"
WHITELIST = "/api/market/whitelist"
SYMBOLS = "/api/market/symbols"
SERIES = "sim:spot:BTC/USDT:1m"
REQUESTS = [
    ("/", ""),
    ("/", "series=sim:spot:BTC/USDT:1m"),
    (CATALOG, ""),
    (WHITELIST, ""),
    (SYMBOLS, "query=btc&limit=1"),
    (SYMBOLS, "query=btc"),
]
PAGE = "<!doctype html><script>1</script><script src='x'></script>" + "<p>words</p>" * 300

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("on_postgres", "without_listings"),
]


@pytest.fixture
def without_listings(monkeypatch):
    """Exchanges whose lists of symbols can't be read, and are not asked for."""

    def known(venues):
        return [KnownListing(*venue, ListingState.UNAVAILABLE, None, None) for venue in venues]

    monkeypatch.setattr(symbols, "known_listings", known)


@pytest.fixture
def built(settings, tmp_path):
    settings.FRONTEND_DIST = tmp_path
    (tmp_path / "index.html").write_text(PAGE)
    return tmp_path / "index.html"


@pytest.fixture
def django(built):
    return CountedDjango()


@pytest.fixture
def front(django):
    return SharedAnswers(django)


async def list_series(*names):
    rows = [WhitelistedSeries(series_id=name, enabled=True) for name in names]
    await blocking.run(WhitelistedSeries.objects.bulk_create, rows)


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize(("path", "query"), REQUESTS)
async def test_answer_is_that_of_django(front, django, path, query, encoding):
    await list_series(SERIES)
    headers = {"accept-encoding": encoding, "origin": "https://elsewhere.example"}
    through = await ask(django, path, query=query, headers=headers)
    found = await ask(front, path, query=query, headers=headers)
    django.passed.clear()
    django.asked.clear()
    found = await ask(front, path, query=query, headers=headers)
    assert (django.passed, django.asked) == ([], [])
    assert (found.status, found.text()) == (200, through.text())
    added = {"etag", "cache-control"} if path != "/" else {"expires"}
    own = {"content-length", "vary"}
    assert _without(found.headers, own | added) == _without(through.headers, own | added)
    assert int(found.headers["content-length"]) == len(found.body)
    assert _names(found.headers["vary"]) >= _names(through.headers["vary"])


def _without(headers, names):
    return {name: value for name, value in headers.items() if name not in names}


def _names(vary):
    return {name.strip().lower() for name in vary.split(",")}


async def test_whitelist_and_symbols_are_those_of_this_moment(front):
    for names in ((), (SERIES,), ("sim:spot:ETH/USDT:1m",)):
        await list_series(*names)
        listed = orjson.loads((await ask(front, WHITELIST)).body)["series_ids"]
        assert set(names) <= set(listed)
        assert bool(listed) == bool(names)
        found = orjson.loads((await ask(front, SYMBOLS, query="query=usdt")).text())
        assert sum(bool(item["whitelisted"]) for item in found["items"]) == len(listed)


async def test_client_that_has_the_answer_is_told_so(front):
    first = await ask(front, CATALOG, headers={"accept-encoding": "gzip"})
    for tag in (first.headers["etag"], "*"):
        headers = {"accept-encoding": "gzip", "if-none-match": tag}
        again = await ask(front, CATALOG, headers=headers)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert "content-length" not in again.headers
    plain = await ask(front, CATALOG, headers={"if-none-match": first.headers["etag"]})
    assert plain.status == 200 and plain.headers["etag"] != first.headers["etag"]


async def test_page_that_is_built_again_is_served_with_its_own_policy(front, built):
    first = await ask(front, "/")
    built.write_text(PAGE.replace("<script>1", "<script>22"))
    os.utime(built, ns=(1, 1))
    second = await ask(front, "/")
    assert b"<script>22" in second.body
    policies = [each.headers["content-security-policy"] for each in (first, second)]
    assert all("sha256-" in policy for policy in policies) and policies[0] != policies[1]
    assert "no-store" in second.headers["cache-control"] and "etag" not in second.headers


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        (SYMBOLS, "limit=0", 422),
        (SYMBOLS, "cursor=x", 400),
        (SYMBOLS, "exchange=nowhere", 400),
        (SYMBOLS, b"query=%ff", 200),
        ("/", "series=sim:spot:BTC/USDT:60m", 302),
        ("/", b"series=%ff", 200),
    ],
)
async def test_what_is_no_plain_success_is_left_to_django(front, django, path, query, status):
    found = await ask(front, path, query=query)
    assert found.status == status
    if status != 200:
        assert len(django.passed) == 1
        assert found.headers == (await ask(django, path, query=query)).headers


async def test_page_that_is_not_built_says_so(front, built):
    built.unlink()
    assert (await ask(front, "/")).status == 503


@pytest.mark.parametrize("path", [CATALOG, WHITELIST, "/"])
async def test_stranger_to_this_host_is_refused(front, settings, path):
    settings.ALLOWED_HOSTS = ["canvas.example"]
    assert (await ask(front, path, headers={"host": "evil.example"})).status == 400
    assert (await ask(front, path, headers={"host": "canvas.example"})).status == 200


async def test_page_below_a_prefix_is_made_by_django(django, built):
    async def below(scope, receive, send):
        await SharedAnswers(django)({**scope, PREFIX: "/canvas"}, receive, send)

    assert (await ask(below, "/")).status == 200
    assert len(django.asked) == 1
