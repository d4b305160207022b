from __future__ import annotations

import json

import pytest

from lab.drills import answers
from lab.drills.answers import WHOLE, Answers, attempt
from lab.program import LabFailed

SERIES = "sim:spot:BTC/USDT:1s"


class Server:
    """Answers every path with a text that can be changed."""

    def __init__(self, monkeypatch):
        self.changed, self.head, self.refusals = "", 100, 0
        monkeypatch.setattr(answers, "get_text", self.get)

    def get(self, url):
        if self.refusals:
            self.refusals -= 1
            raise LabFailed("busy")
        if "/market/candles" in url:
            return json.dumps({"candles": [[1, 2]], "server_head_time": self.head})
        text = "others" if self.changed and self.changed in url else "as ever"
        return f"{text}\n{WHOLE}" if "/replay/" in url else text


@pytest.fixture
def server(monkeypatch):
    return Server(monkeypatch)


def test_answers_that_stay_do_not_differ(server):
    kept = Answers(["http://one", "http://two"], SERIES, [10, 20])
    server.head, server.refusals = 200, 2
    assert kept.differing() == []
    assert kept.compared == 16


@pytest.mark.parametrize("path", ["/api/frame/at_time", "/api/draw/delta", "/api/replay/stream"])
def test_answer_that_changed_is_named(server, path):
    kept = Answers(["http://one"], SERIES, [10, 20])
    server.changed = path
    found = kept.differing()
    assert found and all(each.startswith(path) for each in found)


def test_work_is_repeated_until_it_succeeds():
    failures = [LabFailed("one"), LabFailed("two")]

    def work():
        if failures:
            raise failures.pop()

    assert attempt(work, 1) == "two"
    assert attempt(work, 2) == ""
