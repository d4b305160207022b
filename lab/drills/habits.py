"""An exchange with all the habits that exchanges have: what is missing is named with its reason."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from lab.comparison import Findings, Named, compare
from lab.drills.ground import Watch, drill, following_worker
from lab.http import get
from lab.installation import Installation
from lab.program import LabFailed, manage
from lab.viewer import Views
from lab.waiting import WaitTimeout, wait_until
from market.domain.series import SeriesId
from trade_canvas.switches import PREFIX

# Fifteen series of one-second candles close an hour's worth of them in four minutes.
LIVE_S = 240.0
AN_HOUR = 3_600
DAY_S = 86_400
HISTORY_S = 3_000
LISTED_S = 900
KEPT = 1_500
SPAN_S = (2_000, 1_900)
BEHIND = 20
# A correction is found this much later, at most: it is looked for every few seconds.
CHECK_S = 20
CORRECTED_S = BEHIND + 2 * CHECK_S
STARTED_S = 60.0
BACKFILL_S = 30.0
TAKE_OVER_S = 30.0
SETTLED_S = 60.0
PAUSE_S = 5
LATE_S = 30.0
SPOT_STREAMS, FUTURES_STREAMS = 3, 5
GRIDS = {"1d": 16 * 3_600, "1w": 3 * DAY_S}
REFUSED = "sim:futures:ETH/USDT:1d"
SWITCHES = {
    f"{PREFIX}ENABLE_REVISION_CHECK": "1",
    f"{PREFIX}REVISION_CHECK_INTERVAL_S": str(CHECK_S),
    f"{PREFIX}REVISION_CHECK_CANDLES": "200",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A series and the exchange's habit with it; followed by whitelist, or while it is watched."""

    series: str
    kind: str
    is_listed: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)
    before_s: int = HISTORY_S
    """How many seconds before the drill its candles begin."""
    settled_s: int = 0
    """How far behind the head its candles are final."""


def cases(now: int) -> tuple[Case, ...]:
    """Return every case; the times in it are those before `now`."""
    span = [now - SPAN_S[0], now - SPAN_S[1]]
    # A candle that begins before the listing has no trades here.
    listed_s = LISTED_S + now % 60
    return (
        _case("spot:ETH", "quiet", every_s=20, for_s=5),
        _case("spot:BNB", "late_listing", watched=True, before_s=listed_s, at=now - listed_s),
        _case("spot:SOL", "short_pages", most=100, keep="newest"),
        _case("spot:XRP", "short_pages", watched=True, most=50),
        _case("spot:DOGE", "newest_only", bars=KEPT),
        _case("futures:DOGE", "refuse_old", bars=KEPT),
        _case("spot:ADA", "unusable", answer="empty", span=span),
        _case("spot:LINK", "unusable", watched=True, answer="null", span=span),
        _case("spot:AVAX", "unusable", watched=True, answer="maintenance", span=span),
        _case("futures:ADA", "bad_rows", row="zeros", every=50),
        _case("futures:LINK", "bad_rows", watched=True, row="nulls", every=50),
        _case("futures:AVAX", "bad_rows", watched=True, row="other_unit", every=50, target="rest"),
        _case("futures:BNB", "bad_rows", row="dust", every=1),
        _case(
            "futures:LTC",
            "late_correction",
            watched=True,
            settled_s=CORRECTED_S,
            bars=BEHIND,
            every=7,
            factor=1.001,
        ),
        _case("spot:BTC", "halt"),
        _case("futures:XRP", "grid", timeframe="1d~16h", before_s=100 * DAY_S),
        # Weeks that open on Thursday.
        _case("futures:SOL", "grid", timeframe="7d", watched=True, before_s=700 * DAY_S),
    )


def _case(
    symbol: str,
    kind: str,
    *,
    timeframe: str = "1s",
    watched: bool = False,
    before_s: int = HISTORY_S,
    settled_s: int = 0,
    **details: Any,
) -> Case:
    return Case(
        series=f"sim:{symbol}/USDT:{timeframe}",
        kind=kind,
        is_listed=not watched,
        details=details,
        before_s=before_s,
        settled_s=settled_s,
    )


@drill("exchange-habits", "17 series with every habit of exchanges for an hour's worth of closes")
def habits(installation: Installation, watch: Watch) -> None:
    """What can be had is stored, once, in order and true; the rest is named with its reason."""
    began = int(time.time())
    every = cases(began)
    ending = _set_habits(installation, every)
    listed = [REFUSED, *(case.series for case in every if case.is_listed)]
    try:
        with watch.fault(), ExitStack() as viewing:
            installation.run_as(SWITCHES)
            urls = [web.url for web in installation.webs]
            for series in listed:
                installation.sql(
                    "INSERT INTO whitelist (series_id, enabled) VALUES (%s, true)", series
                )
            views = {
                case.series: viewing.enter_context(Views(urls, case.series))
                for case in every
                if not case.is_listed or case.kind in ("quiet", "bad_rows")
            }
            wanted = {case.series for case in every}
            with suppress(WaitTimeout):
                wait_until(lambda: wanted <= installation.heads().keys(), STARTED_S)
            live_since = time.monotonic()
            _backfill(installation, watch, every, began)
            _disturb(installation, every)
            time.sleep(max(0.0, live_since + LIVE_S - time.monotonic()))
            findings = _settled(installation, every, began)
            _report(watch, findings)
            _check_views(installation, watch, views)
            _count_closes(installation, watch, every, began)
            _check_states(installation, watch, every)
            for fault in ending:
                installation.exchange.end(fault)
            _try_again(installation, watch, every, began)
    finally:
        for series in listed:
            installation.sql("DELETE FROM whitelist WHERE series_id = %s", series)
    installation.exchange.clear()
    installation.run_as_made()


def _set_habits(installation: Installation, every: tuple[Case, ...]) -> list[int]:
    """Begin all but the halt; return the unusable answers, which are ended at the end."""
    exchange = installation.exchange
    exchange.fault("subscription_limit", scope={"market": "spot"}, most=SPOT_STREAMS)
    exchange.fault(
        "subscription_limit", scope={"market": "futures"}, most=FUTURES_STREAMS, unanswered=True
    )
    for interval, offset_s in GRIDS.items():
        scope = {"market": "futures", "interval": interval}
        exchange.fault("grid", scope=scope, offset_s=offset_s)
    ending = []
    for case in every:
        if case.kind not in ("halt", "grid"):
            whole = {"scope": _market(case)} if case.kind == "late_listing" else {}
            number = exchange.fault(
                case.kind, "" if whole else case.series, **case.details, **whole
            )
            if case.kind == "unusable":
                ending.append(number)
    return ending


def _market(case: Case) -> dict[str, str]:
    """Return the scope of a market with all its timeframes."""
    series = SeriesId.parse(case.series)
    return {"market": series.market, "symbol": series.symbol.replace("/", "")}


def _backfill(
    installation: Installation, watch: Watch, every: tuple[Case, ...], began: int
) -> None:
    """Read the history of every series, as an operator does: what can't be had is not retried."""
    for case in every:
        command = manage("backfill", case.series, "--from", str(began - case.before_s))
        program = installation.start("backfill", command)
        try:
            status = program.wait(BACKFILL_S)
        except LabFailed:
            status = program.kill()
        has_ended = status >= 0 and "run it again" not in program.output()
        watch.expect(has_ended, f"backfill of {case.series} ended with {status}")


def _disturb(installation: Installation, every: tuple[Case, ...]) -> None:
    """A halt, a pause that is asked for, a worker that is killed and one that is replaced."""
    exchange = installation.exchange
    for case in every:
        if case.kind == "halt":
            exchange.fault("halt", scope=_market(case))
    exchange.fault(
        "rest_status", status=429, body="slow down, please", retry_after_s=PAUSE_S, count=3
    )
    time.sleep(2 * PAUSE_S)
    worker = following_worker(installation)
    worker.kill()
    wait_until(
        lambda: following_worker(installation) is not worker, TAKE_OVER_S, "another to follow"
    )
    worker.start().wait_ready()
    # A listing is kept for a quarter of an hour: only a new process sees the halt at once.
    for other in installation.workers:
        if other.name.startswith("follower") and other is not worker:
            other.restart()


def _settled(
    installation: Installation, every: tuple[Case, ...], began: int
) -> dict[str, Findings]:
    """Return what is found of every series, as soon as nothing is left to be found."""
    found: dict[str, Findings] = {}

    def is_clean() -> bool:
        found.update({case.series: _compared(installation, case, began) for case in every})
        return all(each.is_clean for each in found.values())

    with suppress(WaitTimeout):
        wait_until(is_clean, SETTLED_S, "every candle to be stored or named")
    return found


def _compared(installation: Installation, case: Case, began: int) -> Findings:
    exchange, series = installation.exchange, case.series
    head = installation.heads().get(series)
    if head is None:
        return Findings(lost=1, examples=[f"{series} has no candles"])
    timeframe = SeriesId.parse(series).timeframe
    # Candles that closed long ago are due, whatever the head.
    last = max(head, timeframe.latest_closed(time.time() - LATE_S)) - case.settled_s
    span = (timeframe.open_of(began - case.before_s - 1) + timeframe.seconds, last)
    stored, truth = installation.stored(series, *span), exchange.truth(series, *span)
    return compare(
        series,
        range(span[0], span[1] + 1, timeframe.seconds),
        truth={each["candle_time"]: each for each in truth},
        absences=[Named(**_reason(each)) for each in exchange.absences(series, *span)],
        stored={each["candle_time"]: each for each in stored},
        ledger=_ledger(installation, series),
    )


def _reason(absence: Mapping[str, Any]) -> dict[str, Any]:
    return {name: absence[name] for name in ("from_time", "to_time", "why")}


def _ledger(installation: Installation, series: str) -> list[Named]:
    query = """
        SELECT from_time, to_time, coalesce(nullif(missing, ''), state) FROM gaps
        JOIN series ON series.id = series_id WHERE name = %s AND state <> 'filled'
    """
    return [Named(*row) for row in installation.sql(query, series)]


def _report(watch: Watch, findings: Mapping[str, Findings]) -> None:
    total = Findings()
    for found in findings.values():
        total.add(found)
        if not found.is_clean:
            watch.expect(False, "; ".join(found.examples))
    watch.lost += total.lost
    watch.wrong += total.wrong
    named = ", ".join(f"{count:,} {why}" for why, count in sorted(total.named.items()))
    watch.note(f"{total.compared:,} candles compared; named in the ledger: {named}")
    watch.expect(not total.misnamed, f"{total.misnamed} missing candles without their true reason")


def _check_views(installation: Installation, watch: Watch, views: Mapping[str, Views]) -> None:
    for series, each in views.items():
        for viewer in each.viewers:
            watch.delivered += len(viewer.view)
            watch.duplicated += viewer.duplicated
            watch.out_of_order += viewer.out_of_order
        try:
            wait_until(
                lambda: not _differing(installation, series, each),  # noqa: B023
                SETTLED_S,
            )
        except WaitTimeout:
            times = _differing(installation, series, each)
            watch.expect(False, f"viewers of {series} show other candles at {times[:3]}")
            watch.wrong += len(times)


def _differing(installation: Installation, series: str, views: Views) -> list[int]:
    """Return the open times at which a viewer shows otherwise than it is stored."""
    shown = [dict(viewer.view) for viewer in views.viewers]
    stored = {each["candle_time"]: each for each in installation.stored(series, 0, 2**40)}
    last = max(stored, default=0)
    # A viewer may be a little ahead of the answer, and a little behind what was stored meanwhile.
    heads = [max(view, default=0) for view in shown]
    return [
        time_
        for view, head in zip(shown, heads, strict=True)
        for time_ in sorted(view.keys() | stored.keys())
        if time_ <= min(head, last) and view.get(time_) != stored.get(time_)
    ]


def _count_closes(
    installation: Installation, watch: Watch, every: tuple[Case, ...], began: int
) -> None:
    heads = installation.heads()
    closes = sum(max(0, heads.get(case.series, 0) - began) for case in every)
    watch.note(f"{closes:,} seconds of closes")
    watch.expect(closes >= AN_HOUR, "less than an hour's worth of closes")


def _check_states(installation: Installation, watch: Watch, every: tuple[Case, ...]) -> None:
    """What can't work as elsewhere is shown: halted, on another grid, or not streamed."""
    status, state = get(f"{installation.webs[0].url}/api/market/debug/ingest_state")
    assert status == 200, state
    jobs = {job["series_id"]: job for job in state["jobs"]}
    refused = jobs.get(REFUSED, {})
    watch.expect("1d~16h" in str(refused), f"the state of {REFUSED} is {refused}")
    for case in every:
        job = jobs.get(case.series, {})
        if case.kind == "halt":
            watch.expect(job.get("is_halted"), f"{case.series} is not shown as halted")
        is_known = job.get("live") == "stream" or job.get("polled_because")
        watch.expect(is_known, f"{case.series} is neither streamed nor polled for a reason: {job}")
    polled = sum(job.get("live") == "poll" for job in jobs.values())
    watch.note(f"sockets of {SPOT_STREAMS} and {FUTURES_STREAMS} series at most, {polled} polled")


def _try_again(
    installation: Installation, watch: Watch, every: tuple[Case, ...], began: int
) -> None:
    """Once the exchange answers, everything that was unanswered is had by asking again."""
    for case in every:
        if case.kind != "unusable":
            continue
        installation.start("gaps", manage("gaps", case.series, "--repair")).wait()
        found = _compared(installation, case, began)
        watch.lost += found.lost
        watch.expect(
            found.is_clean and not found.named,
            f"after another attempt {case.series} still lacks {found.named} {found.examples}",
        )
