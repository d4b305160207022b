"""Derived series whose base is killed, reordered, left out, revised and backfilled."""

from __future__ import annotations

import time
from contextlib import ExitStack

from lab.drills.ground import TOKEN, Watch, drill, following_worker
from lab.http import get, post
from lab.installation import Installation
from lab.program import LabFailed
from lab.viewer import Views
from lab.waiting import wait_until
from trade_canvas.switches import PREFIX

SYMBOL = "sim:spot:LTC/USDT"
TIMEFRAMES = ("5s", "10s", "15s", "30s", "1m", "2m")
WATCHED = ("5s", "15s", "1m")
STREAM = "spot:ltcusdt@kline_"
SWITCHES = {
    f"{PREFIX}ENABLE_DERIVED_TIMEFRAMES": "1",
    f"{PREFIX}DERIVED_BASE_TIMEFRAME": "1s",
    f"{PREFIX}DERIVED_TIMEFRAMES": ",".join(TIMEFRAMES),
}
FOLLOWED_S = 60.0
SETTLED_S = 90.0
FAULT_S = 10.0
TAKE_OVER_S = 30.0
BACKFILLED = 90
PRICES = {"open": 50.0, "high": 52.0, "low": 49.0, "close": 51.0, "volume": 1.0}


@drill("derived", "six derived timeframes: kill -9 in mid-bucket, reordered, left out, revised")
def derived(installation: Installation, watch: Watch) -> None:
    """The database's own roll-up of the base must be what is stored and what viewers show."""
    watch.revisions_expected = True
    urls = [web.url for web in installation.webs]
    with watch.fault(), ExitStack() as viewing:
        installation.run_as(SWITCHES)
        views = {
            text: viewing.enter_context(Views(urls, f"{SYMBOL}:{text}")) for text in TIMEFRAMES
        }
        wait_until(lambda: _heads(installation) >= {"5s", "10s"}, FOLLOWED_S, "derived candles")
        watch.expect(_streams(installation) == {"1s": 1}, f"followed {_streams(installation)}")
        _disturb(installation)
        wait_until(lambda: _is_equal(installation), SETTLED_S, "derived series equal to their base")
        wait_until(
            lambda: not any(_differing(installation, views[text], text) for text in WATCHED),
            SETTLED_S,
            "viewers to show what is stored",
        )
        viewers = [viewer for each in views.values() for viewer in each.viewers]
        disorder = sum(viewer.out_of_order + viewer.duplicated for viewer in viewers)
        watch.expect(disorder == 0, f"{disorder} derived candles twice or out of order")
        watch.expect(_streams(installation) == {"1s": 1}, f"followed {_streams(installation)}")
        shown = sum(len(viewer.view) for viewer in viewers)
        watch.note(f"{shown:,} derived candles shown, all as the SQL roll-up of their base")
        watch.note("one subscription at the exchange")
    installation.run_as_made()


def _disturb(installation: Installation) -> None:
    exchange = installation.exchange
    worker = following_worker(installation)
    worker.kill()
    wait_until(
        lambda: following_worker(installation) is not worker, TAKE_OVER_S, "another to follow"
    )
    worker.start().wait_ready()
    exchange.fault("reorder", duration_s=FAULT_S)
    time.sleep(FAULT_S)
    exchange.fault("omit", next=5)
    time.sleep(FAULT_S)
    installation.webs[0].kill()
    _backfill(installation)
    installation.webs[0].start().wait_ready()
    exchange.fault("revise", last=20, factor=1.01, push=True)
    time.sleep(FAULT_S)


def _backfill(installation: Installation) -> None:
    """Post what came before the base's first candle, from the newest to the oldest."""
    query = (
        "SELECT min(candle_time) FROM candles JOIN series ON series.id = series_id WHERE name = %s"
    )
    ((first,),) = installation.sql(query, f"{SYMBOL}:1s")
    url = f"{installation.webs[1].url}/api/market/ingest/candle_closed"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for time_ in range(first - 1, first - 1 - BACKFILLED, -1):
        body = {"series_id": f"{SYMBOL}:1s", "candle": {"candle_time": time_, **PRICES}}
        status, answer = post(url, body, headers=headers)
        if status != 200:
            raise LabFailed(f"a base candle was refused: {answer}")


def _heads(installation: Installation) -> set[str]:
    """The derived timeframes that have candles."""
    return {
        name.rpartition(":")[2]
        for name in installation.heads()
        if name.startswith(SYMBOL) and not name.endswith(":1s")
    }


def _streams(installation: Installation) -> dict[str, int]:
    """The symbol's streams at the exchange, by timeframe, with the connections of each."""
    counts = get(f"{installation.exchange.url}/control/state")[1]["subscribers"]
    return {
        name.removeprefix(STREAM): count
        for name, count in counts.items()
        if name.startswith(STREAM) and count
    }


def _is_equal(installation: Installation) -> bool:
    try:
        installation.manage("timescale", "status", "--check-derived", **SWITCHES)
    except LabFailed:
        return False
    return _behind(installation) == 0


def _behind(installation: Installation) -> int:
    """How many derived series lack a revision of their base, or the history before a fill."""
    query = """
        SELECT count(*) FROM derived_series AS made
        JOIN series AS base ON base.name = regexp_replace(made.name, ':[^:]*$', ':1s')
        WHERE made.since > 0 OR made.base_epoch < base.epoch
    """
    return int(installation.sql(query)[0][0])


def _differing(installation: Installation, views: Views, text: str) -> list[str]:
    return views.differing(installation.stored(f"{SYMBOL}:{text}", 0, 2**40))
