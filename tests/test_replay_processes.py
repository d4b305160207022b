"""Replay packages built by a real worker, which is killed in the midst of it."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from lab.http import post
from lab.replay import active_at
from lab.waiting import patience, wait_until
from overlays.api.tests.drawn import walk
from overlays.replay import jobs
from tests.clients import NAMES

SERIES = "binance:futures:BTC/USDT:1m"
TOKEN = "token-of-the-replay"
CANDLES = 3000
WINDOW = 2500
ATTEMPTS = 6


@pytest.fixture
def web(stack, tmp_path):
    """A web process with a series, and a folder of packages that its worker shares."""
    tmp_path.chmod(0o777)
    stack.environment["TRADE_CANVAS_ARTIFACTS_DIR"] = str(tmp_path)
    found = stack.web(TRADE_CANVAS_INGEST_TOKEN=TOKEN)
    candles = [dict(zip(NAMES, each, strict=True)) for each in walk(CANDLES)]
    body = {"series_id": SERIES, "candles": candles}
    batch = f"{found.url}/api/dev/market/ingest/candles_closed_batch"
    assert post(batch, body, headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
    return found


def read(web, path, **query):
    with urlopen(f"{web.url}{path}?{urlencode(query)}", timeout=patience(30)) as answer:
        return json.load(answer)


def build(web, size):
    body = {"series_id": SERIES, "window_candles": WINDOW, "window_size": size}
    status, answer = post(f"{web.url}/api/replay/build", body)
    assert status == 200, answer
    return answer["job_id"]


def killed_in_the_midst(stack, web, folder):
    """Kill the worker while it builds; the key of the package."""
    for attempt in range(ATTEMPTS):
        worker = stack.worker()
        key = build(web, 100 + attempt)
        made: Path = folder / "replay_package_v1" / key
        wait_until(
            lambda made=made: any(made.glob("part-*")) or (made / "replay_package.json").exists()
        )
        worker.kill()
        if not (made / "replay_package.json").exists():
            return key
    pytest.fail("every build was done before its worker could be killed")


def test_a_build_survives_its_worker(stack, web, tmp_path):
    key = killed_in_the_midst(stack, web, tmp_path)
    assert read(web, "/api/replay/status", job_id=key)["status"] == "building"
    kept = set((tmp_path / "replay_package_v1" / key).glob("part-*"))
    assert kept
    stack.worker()
    limit = 3 * jobs.ASK_AGAIN_S

    def is_done():
        return read(web, "/api/replay/status", job_id=key)["status"] == "done"

    wait_until(is_done, limit + 30, "the package")
    window = read(web, "/api/replay/window", job_id=key, target_idx=1300, factors="none")["window"]
    for place in (window["start_idx"], window["end_idx"] - 1):
        time = window["kline"][place - window["start_idx"]]["time"]
        query = {"series_id": SERIES, "at_time": time, "window_candles": WINDOW}
        frame = read(web, "/api/frame/at_time", **query)
        assert active_at(window, place) == frame["draw_state"]["active_ids"]
