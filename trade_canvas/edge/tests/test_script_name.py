"""Paths below a prefix, as the wrappers and Django see them."""

from __future__ import annotations

import asyncio
import re

import orjson
import pytest
from django.core.asgi import get_asgi_application

from market.api.tests.asking import ask
from trade_canvas.edge.script_name import FORWARDED_PREFIX, WithoutPrefix, WithPrefix
from trade_canvas.environment import MAX_PREFIX, script_name

PREFIX = "/canvas"
PASSED = {"x-forwarded-for": "203.0.113.7"}
NAMED = {**PASSED, FORWARDED_PREFIX.decode(): PREFIX}


async def seen(path, *, prefix=PREFIX, kind="http", headers=(), proxies=1):
    """The path in front of Django, the path in Django, and the status that is sent."""
    paths, sent = [], []

    async def django(scope, receive, send):
        paths.append(scope["path"])

    async def inner(scope, receive, send):
        paths.append(scope["path"])
        await WithPrefix(django)(scope, receive, send)

    async def send(message):
        sent.append(message.get("status"))

    given = [(name.encode(), value.encode("latin-1")) for name, value in dict(headers).items()]
    scope = {"type": kind, "path": path, "headers": given}
    await WithoutPrefix(inner, prefix=prefix, proxies=proxies)(scope, None, send)
    return paths, sent


async def is_read(prefix, **given):
    headers = {**PASSED, "x-forwarded-prefix": prefix}
    paths, _ = await seen("/x", prefix=None, headers=headers, **given)
    return paths != ["/x", "/x"]


@pytest.mark.parametrize("path", ["/api/x", "/canvas/api/x"])
async def test_stripped_and_kept_prefix_are_the_same(path):
    assert await seen(path) == (["/api/x", "/canvas/api/x"], [])
    assert await seen(path, prefix=None, headers=NAMED) == (["/api/x", "/canvas/api/x"], [])


async def test_path_that_only_begins_alike_is_another():
    assert (await seen("/canvases"))[0] == ["/canvases", "/canvas/canvases"]


async def test_prefix_alone_leads_to_the_page():
    assert await seen(PREFIX) == ([], [308, None])
    assert await seen(PREFIX, prefix=None, headers=NAMED) == ([], [308, None])


async def test_socket_has_the_prefix_of_its_header():
    assert (await seen("/canvas/ws/market", prefix=None, kind="websocket", headers=NAMED))[0][
        0
    ] == "/ws/market"


@pytest.mark.parametrize("prefix", ["", None])
async def test_nothing_changes_without_a_prefix(prefix):
    assert await seen("/canvas/x", prefix=prefix) == (["/canvas/x", "/canvas/x"], [])


@pytest.mark.parametrize("fixed", ["/fixed", ""])
async def test_fixed_prefix_wins_over_the_header(fixed):
    assert await seen("/x", prefix=fixed, headers=NAMED) == (["/x", f"{fixed}/x"], [])


async def test_header_counts_only_from_trusted_proxies():
    assert await is_read(PREFIX)
    assert not await is_read(PREFIX, proxies=0)
    # One of two proxies was passed.
    assert not await is_read(PREFIX, proxies=2)
    # None was.
    only = {"x-forwarded-prefix": PREFIX}
    assert await seen("/x", prefix=None, headers=only) == (["/x", "/x"], [])


@pytest.mark.parametrize(
    "prefix", ["/canvas/", "/a/b", "/a.b/~c_d-e", "/" + "a" * (MAX_PREFIX - 1)]
)
async def test_header_may_name_any_plain_path(prefix):
    assert await is_read(prefix)


@pytest.mark.parametrize(
    "prefix",
    [
        *("", "/", "canvas", "//host", "//host/a", "/a//b", "/canvas//", "https://host/a"),
        *("/..", "/a/..", "/./a", "/a/../b", "/a b", "/a\n", "/a\r\nset-cookie: x", "/a\0", "/é"),
        *("/a%2e", "/a?b", "/a#b", "/a\\b", '/a"b', "/a<b", "/a,/b", "/canvas, /other"),
        *("/api", "/admin/", "/static", "/ws", "/" + "a" * MAX_PREFIX),
    ],
)
async def test_header_that_is_no_plain_path_is_ignored(prefix):
    assert not await is_read(prefix)


async def test_header_given_twice_is_ignored():
    paths = []

    async def inner(scope, receive, send):
        paths.append(scope["path"])

    twice = [(b"x-forwarded-for", b"203.0.113.7"), *2 * [(FORWARDED_PREFIX, PREFIX.encode())]]
    scope = {"type": "http", "path": f"{PREFIX}/x", "headers": twice}
    await WithoutPrefix(inner, prefix=None, proxies=1)(scope, None, None)
    assert paths == [f"{PREFIX}/x"]


async def test_no_other_root_path_reaches_django():
    roots = []

    async def django(scope, receive, send):
        roots.append(scope["root_path"])

    await WithPrefix(django)({"type": "http", "path": "/x", "root_path": "/evil"}, None, None)
    assert roots == [""]


@pytest.fixture
def serving(settings, tmp_path):
    """Django behind one trusted proxy; it has a page."""
    settings.FRONTEND_DIST = tmp_path
    (tmp_path / "index.html").write_text('<script src="/static/assets/index.js"></script>')
    return WithoutPrefix(WithPrefix(get_asgi_application()), prefix=None, proxies=1)


async def addresses(application, prefix):
    """Every address of its own that the server names to a client of a prefix."""
    headers = {"accept": "application/json"}
    headers |= {**PASSED, "x-forwarded-prefix": prefix} if prefix else {}
    page, icon, docs, schema, log_in, admin = await asyncio.gather(
        *(
            ask(application, path, headers=headers)
            for path in (
                *("/", "/favicon.ico", "/api/docs/", "/api/schema/"),
                *("/admin/login/", "/admin"),
            )
        )
    )
    quoted = [
        *re.findall(
            r'(?:src|href|action)="(/[^"]*)"', (page.body + docs.body + log_in.body).decode()
        ),
        icon.headers["location"],
        admin.headers["location"],
    ]
    servers = orjson.loads(schema.body).get("servers", [])
    cookies = re.findall(r"Path=([^;]+)", log_in.headers["set-cookie"])
    return quoted, [one["url"] for one in servers], cookies


async def test_each_request_has_the_prefix_of_its_own(serving):
    """Those of two proxies and a direct one run at the same time in one process."""
    asked = ["/canvas", "", "/other/place"] * 3
    # drf_spectacular's first answer is not safe against others at the same time.
    assert (await ask(serving, "/api/schema/")).status == 200
    found = await asyncio.gather(*(addresses(serving, prefix) for prefix in asked))
    for prefix, (quoted, servers, cookies) in zip(asked, found, strict=True):
        assert len(quoted) > 6 and any("/static/admin/" in each for each in quoted)
        bare = [each.removeprefix(prefix) for each in quoted]
        assert [f"{prefix}{each}" for each in bare] == quoted
        assert {each.split("/")[1] for each in bare} <= {"static", "admin", "api"}
        assert servers == ([prefix] if prefix else [])
        assert cookies == [f"{prefix}/"]


@pytest.mark.parametrize("text", ["canvas", "/canvas", "/canvas/", " /canvas "])
def test_script_name_has_one_form(text):
    assert script_name(text) == PREFIX


def test_script_name_is_a_path():
    # Not set, and set to no prefix.
    assert script_name("") is None and script_name("/") == ""
    for text in ("https://x/canvas", "/a b", "/a//b", "/a/..", "/api"):
        with pytest.raises(SystemExit):
            script_name(text)
