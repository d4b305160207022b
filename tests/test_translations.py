"""Admin and API in Chinese: every text has a translation, and English stays as it was."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html import unescape

import pytest
from babel.messages.mofile import read_mo
from django.conf import settings
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils import translation
from django.utils.translation import trans_real

from factors.domain.tests.recordings import flat
from lab import translations
from lab.translations import CATALOG, EXPLAINED, KEYWORDS, read_catalog, template, untranslated
from market.domain.explained import Explained
from market.domain.feed import FeedRefused
from market.domain.lease_store import JobReport
from market.domain.series import SeriesId, SeriesIdError
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.tests.gaps import record_gap
from market.models import GapRecord, Series, WhitelistedSeries
from market.runtime import pipeline
from market.wording import explained, in_language_of, load_catalogs, preferred
from trade_canvas.middleware import AdminLanguage

PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|\{[\w}{:]*\}")
CHINA = "zh-CN,zh;q=0.9,en;q=0.8"
# Names, in every language: of parts, tasks, exchanges and the like, and what users write.
NAMES = {
    *("trade", "canvas", "admin", "English", "UTC", "id", "sim", "spot", "futures"),
    *("web", "worker", "beat", "control", "follow", "backfill", "build"),
    *("exchange", "market", "symbol", "timeframe", "binance", "BTC", "USDT"),
}
CHINESE = re.compile("[\u4e00-\u9fff]")


def keys(catalog):
    return {(message.context, message.id) for message in catalog if message.id}


def test_every_text_of_the_code_is_in_the_catalog_and_no_other():
    assert keys(read_catalog()) == keys(template()), "run make translations"


def test_texts_within_other_texts_are_found_too():
    # Babel does not look into f-strings.
    known = {text for message in read_catalog() for text in texts_of(message.id)}
    for path in translations.files():
        if path.suffix == ".py":
            for call in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") in KEYWORDS:
                    for text in call.args:
                        if isinstance(text, ast.Constant) and isinstance(text.value, str):
                            assert text.value in known | CONTEXTS, f"{path}: {text.value}"


CONTEXTS = {"circuit breaker", "derived series"}


def texts_of(text):
    return (text,) if isinstance(text, str) else text


def test_every_text_has_a_translation():
    assert untranslated(read_catalog()) == []
    alike = [each.id for each in read_catalog() if each.id and not _is_chinese(each)]
    assert alike == []


def _is_chinese(message):
    return all(CHINESE.search(text) for text in translations.translations_of(message))


def test_translations_have_the_values_of_their_texts():
    for message in read_catalog():
        singular = message.id[-1] if isinstance(message.id, tuple) else message.id
        wanted = sorted(PLACEHOLDER.findall(singular)) if singular else []
        for text in translations.translations_of(message) if singular else ():
            assert sorted(PLACEHOLDER.findall(text)) == wanted, singular


def test_compiled_catalog_is_that_of_the_texts():
    with CATALOG.with_suffix(".mo").open("rb") as file:
        compiled = read_mo(file)
    assert texts(compiled) == texts(read_catalog()), "run make translations"


def texts(catalog):
    return {
        (each.context, str(tuple(each.id) if isinstance(each.id, list) else each.id)): (
            translations.translations_of(each)
        )
        for each in catalog
        if each.id
    }


def kinds(kind: type[Explained]) -> Iterator[type[Explained]]:
    for each in kind.__subclasses__():
        yield each
        yield from kinds(each)


def test_texts_of_all_errors_are_found():
    # The base class carries what an exchange sent.
    assert set(kinds(Explained)) - {FeedRefused} == set(EXPLAINED)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("*", "en"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("fr,de;q=0.5", "en"),
        (CHINA, "zh-hans"),
        ("fr,zh-CN;q=0.5,en;q=0.4", "zh-hans"),
        ("zh-Hans-CN", "zh-hans"),
        ("ZH", "zh-hans"),
        (";;,=", "en"),
        ("zh" * 5000, "en"),
    ],
)
def test_language_is_that_of_the_header(header, language):
    assert preferred(header) == language


def test_catalogs_are_read_before_a_text_is_needed(monkeypatch):
    monkeypatch.setattr(trans_real, "_translations", {})
    load_catalogs()
    assert "zh-hans" in trans_real._translations


def test_error_is_explained_in_the_language_of_the_moment():
    with pytest.raises(SeriesIdError) as raised:
        SeriesId.parse("sim:spot:BTC/USDT:1x")
    error = raised.value
    assert explained(error) == str(error) == "unsupported timeframe unit: 'x'"
    with in_language_of(CHINA):
        assert explained(error) == "不支持的周期单位：'x'"
        assert str(error) == "unsupported timeframe unit: 'x'"


def test_text_of_an_exchange_is_left_as_it_is():
    with in_language_of(CHINA):
        assert explained(FeedRefused("100% of 5 %(x)s")) == "100% of 5 %(x)s"


def test_language_of_an_admin_page_ends_with_its_request():
    seen = []

    def view(request):
        seen.append(translation.get_language())
        return HttpResponse()

    middleware = AdminLanguage(view)
    for path in ("/admin/", "/api/market/whitelist", "/"):
        middleware(RequestFactory().get(path, headers={"accept-language": CHINA}))
        assert translation.get_language() == settings.LANGUAGE_CODE
    assert seen == ["zh-hans", "en", "en"]


@pytest.mark.django_db
class TestApi:
    BAD = "/api/market/candles?series_id=nonsense"

    def test_error_is_in_the_language_of_the_client_and_its_code_is_not(self, client):
        answer = client.get(self.BAD, headers={"accept-language": CHINA})
        assert answer.json() == {
            "detail": "series_id 必须是 '{exchange}:{market}:{symbol}:{timeframe}'",
            "code": "invalid_series_id",
        }
        assert answer.headers["Content-Language"] == "zh-hans"
        assert "Accept-Language" in answer.headers["Vary"]

    @pytest.mark.parametrize("header", [None, "en", "fr", "*"])
    def test_error_is_in_english_byte_for_byte_for_all_others(self, client, header):
        headers = {"accept-language": header} if header else {}
        answer = client.get(self.BAD, headers=headers)
        assert answer.content == (
            b'{"detail":"series_id must be \'{exchange}:{market}:{symbol}:{timeframe}\'",'
            b'"code":"invalid_series_id"}'
        )
        assert "Content-Language" not in answer.headers
        assert "Accept-Language" not in answer.headers.get("Vary", "")

    def test_framework_and_django_speak_the_language_too(self, client):
        chinese = {"accept-language": CHINA}
        for method, path, code in (
            (client.post, "/api/market/whitelist", "method_not_allowed"),
            (client.get, "/api/nowhere", "not_found"),
        ):
            answer = method(path, headers=chinese).json()
            assert answer["code"] == code and CHINESE.search(answer["detail"])
            assert not CHINESE.search(method(path).json()["detail"])

    def test_answers_without_an_error_are_the_same_in_every_language(self, client):
        ours = client.get("/api/market/whitelist", headers={"accept-language": CHINA})
        theirs = client.get("/api/market/whitelist")
        assert (ours.content, dict(ours.headers)) == (theirs.content, dict(theirs.headers))


@pytest.mark.django_db
class TestAdmin:
    def test_pages_are_in_chinese_where_the_browser_prefers_it(self, admin_client):
        for path, words in (
            ("/admin/", "状态：跟踪的序列、进程与队列"),
            ("/admin/market/whitelistedseries/", "批量粘贴"),
            ("/admin/market/whitelistedseries/paste/", "批量粘贴序列"),
            ("/admin/market/gaprecord/", "缺口"),
            ("/admin/factors/factorstate/", "因子账本"),
            ("/admin/status/", "跟踪的序列"),
        ):
            answer = admin_client.get(path, headers={"accept-language": CHINA})
            page = answer.content.decode()
            assert '<html lang="zh-hans"' in page and words in page, path
            assert '<html lang="en"' in admin_client.get(path).content.decode()

    def test_pages_have_no_english_left(self, admin_client, monkeypatch):
        series = SeriesId.parse("sim:spot:BTC/USDT:1m")
        WhitelistedSeries.objects.create(series_id=str(series))
        pipeline().ingest(series, flat(*[100.0] * 5))
        record_gap(series, 1200, 1800)
        GapRecord.objects.update(reason="exchange unreachable")
        failing = JobReport(state="open_breaker", started_at=1.0, last_error="429", crashes=3)
        known = MemoryLeaseStore()
        known.report({series: failing}, ttl=30)
        monkeypatch.setattr("market.ingest.supervisor.lease_store", lambda: known)
        for path in (
            "/admin/market/whitelistedseries/",
            "/admin/market/whitelistedseries/add/",
            "/admin/market/whitelistedseries/paste/",
            "/admin/market/series/",
            "/admin/market/gaprecord/",
            "/admin/factors/factorstate/",
            f"/admin/market/series/{Series.objects.get().pk}/change/",
            f"/admin/market/gaprecord/{GapRecord.objects.get().pk}/change/",
            f"/admin/factors/factorstate/{Series.objects.get().pk}/change/",
            "/admin/status/",
        ):
            page = admin_client.get(path, headers={"accept-language": CHINA}).content.decode()
            # Django itself has no Chinese for the headings of its list of models.
            shown = re.sub(r'(?s)<thead class="visually-hidden">.*?</thead>', "", page)
            shown = re.sub(r"(?s)<(script|style|select|code|title|svg)\b.*?</\1>", "", shown)
            shown = unescape(re.sub(r"(?s)<[^>]*>", " ", shown))
            shown = re.sub(r"\b[0-9a-f]{12,}\b", "", shown.replace(str(series), ""))
            words = set(re.findall(r"[A-Za-z]{2,}", shown))
            assert words <= NAMES, path

    def test_choice_of_a_language_is_kept(self, admin_client):
        page = admin_client.get("/admin/").content.decode()
        assert 'value="zh-hans"' in page and 'value="en"' not in page
        chosen = {"language": "zh-hans", "next": "/admin/status/"}
        answer = admin_client.post("/admin/language/", chosen)
        assert answer["Location"] == "/admin/status/"
        assert answer.cookies["django_language"]["httponly"]
        assert '<html lang="zh-hans"' in admin_client.get("/admin/").content.decode()
        # The API has no cookies.
        assert admin_client.get("/api/nowhere").json()["detail"] == "Not Found"

    def test_pasted_lines_are_explained_in_chinese(self, admin_client):
        form = {"text": "nowhere:spot:A/B:1m\nA/B 1x", "exchange": "sim", "market": "spot"}
        answer = admin_client.post(
            "/admin/market/whitelistedseries/paste/", form, headers={"accept-language": CHINA}
        )
        page = answer.content.decode()
        assert "未知的交易所：nowhere" in page and "不支持的周期单位" in page
        assert [entry.code for entry in answer.context["entries"]] == [
            "unknown_exchange",
            "invalid_timeframe",
        ]
