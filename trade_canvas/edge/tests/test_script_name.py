"""Paths below a prefix, as the wrappers and Django see them."""

from __future__ import annotations

import pytest

from trade_canvas.edge.script_name import WithoutPrefix, WithPrefix
from trade_canvas.environment import script_name

PREFIX = "/canvas"


async def seen(path, *, prefix=PREFIX, kind="http"):
    """The path in front of Django, the path in Django, and the status that is sent."""
    paths, sent = [], []

    async def django(scope, receive, send):
        paths.append(scope["path"])

    async def inner(scope, receive, send):
        paths.append(scope["path"])
        await WithPrefix(django, prefix=prefix)(scope, receive, send)

    async def send(message):
        sent.append(message.get("status"))

    await WithoutPrefix(inner, prefix=prefix)({"type": kind, "path": path}, None, send)
    return paths, sent


@pytest.mark.parametrize("path", ["/api/x", "/canvas/api/x"])
async def test_stripped_and_kept_prefix_are_the_same(path):
    assert await seen(path) == (["/api/x", "/canvas/api/x"], [])


async def test_path_that_only_begins_alike_is_another():
    assert (await seen("/canvases"))[0] == ["/canvases", "/canvas/canvases"]


async def test_prefix_alone_leads_to_the_page():
    assert await seen(PREFIX) == ([], [308, None])


async def test_nothing_changes_without_a_prefix():
    assert await seen("/canvas/x", prefix="") == (["/canvas/x", "/canvas/x"], [])


@pytest.mark.parametrize("text", ["canvas", "/canvas", "/canvas/", " /canvas "])
def test_script_name_has_one_form(text):
    assert script_name(text) == PREFIX


def test_script_name_is_a_path():
    assert script_name("") is None and script_name("/") is None
    for text in ("https://x/canvas", "/a b", "/a//b"):
        with pytest.raises(SystemExit):
            script_name(text)
