"""A client that follows the drawings by what the hub is given shows what a frame shows."""

from __future__ import annotations

import json

import pytest

from factors.domain.ledger import Rebuild
from factors.lazy_json import as_json
from market import blocking, runtime
from market.domain.series import SeriesId
from market.live.frames import Frame
from overlays import feed
from overlays.api.tests.drawn import SERIES as NAME
from overlays.api.tests.drawn import ingest, walk
from overlays.feed import read_drawn
from overlays.runtime import reads

pytestmark = pytest.mark.usefixtures("either_store", "small")

SERIES = SeriesId.parse(NAME)
WALK = walk(310, seed=11)


class Client:
    """Keeps definitions by id, as the protocol says; reads a frame when no change leads on."""

    def __init__(self):
        self.at = None
        self.shown = {}
        self.frames_read = 0
        self.bytes = []

    def follow(self):
        (drawn,) = blocking.call(read_drawn, {SERIES: self.at}).values()
        if drawn.change is None:
            self.shown = frame()
            self.frames_read += 1
        else:
            message = Frame.of({"previous_cursor": self.at.cursor, **drawn.change}).texts[0]
            self.bytes.append(len(message))
            change = json.loads(message)
            for version in change["instruction_catalog_patch"]:
                self.shown[version["instruction_id"]] = version["definition"]
            for name in change["removed_ids"]:
                self.shown.pop(name, None)
        self.at = drawn.at


def frame():
    """The drawings of a live frame, by id."""
    answer = blocking.call(reads().frame_live, SERIES, window=feed.WINDOW_CANDLES)
    state = json.loads(as_json(answer.body))["draw_state"]
    found = {}
    for version in state["instruction_catalog_patch"]:
        found[version["instruction_id"]] = version["definition"]
    return {name: found[name] for name in state["active_ids"]}


def as_bytes(shown):
    return json.dumps(shown, sort_keys=True).encode()


@pytest.mark.parametrize("window", [2000, 60])
def test_followed_drawings_are_those_of_the_frame(monkeypatch, window):
    monkeypatch.setattr(feed, "WINDOW_CANDLES", window)
    ingest(WALK[:250])
    client = Client()
    client.follow()
    for n in range(250, 310, 3):
        ingest(WALK[n : n + 3])
        client.follow()
        assert as_bytes(client.shown) == as_bytes(frame())
        assert client.at.to_time == WALK[n + 2].candle_time
    assert client.frames_read == 1


def test_no_change_leads_over_a_revision_or_a_rebuild():
    ingest(WALK[:250])
    client = Client()
    client.follow()
    ingest([WALK[100]._replace(volume=7.0)])
    client.follow()
    blocking.call(runtime.pipeline().rerun, SERIES, Rebuild(0))
    client.follow()
    assert client.frames_read == 3
    assert as_bytes(client.shown) == as_bytes(frame())


def test_drawings_behind_the_candles_are_none():
    ingest(WALK[:250])
    ingest(WALK[250:260], stages=[])
    (drawn,) = blocking.call(read_drawn, {SERIES: None}).values()
    assert drawn.at is None


def test_nothing_is_drawn_without_candles():
    (drawn,) = blocking.call(read_drawn, {SERIES: None}).values()
    assert (drawn.at, drawn.change) == (None, None)


def test_large_change_is_left_to_http(monkeypatch):
    ingest(WALK[:250])
    (before,) = blocking.call(read_drawn, {SERIES: None}).values()
    ingest(WALK[250:255])
    (drawn,) = blocking.call(read_drawn, {SERIES: before.at}).values()
    assert drawn.change is not None
    for limit in ("MOST_VERSIONS", "MOST_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(feed, limit, 10)
            (large,) = blocking.call(read_drawn, {SERIES: before.at}).values()
            assert (large.at, large.change) == (drawn.at, None)
