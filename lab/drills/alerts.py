"""Alerts while web and worker are killed in mid-delivery, and the receiver fails and hangs."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable
from contextlib import ExitStack, suppress

from factors.alerts.delivery import MOST_PER_HOST
from factors.alerts.models import new_secret
from factors.alerts.rules import Rule
from factors.domain.all_factors import FACTORS
from factors.domain.engine import Engine
from factors.domain.pivot import PivotParameters
from lab.alerts import SWITCHES, Poster, StreamClient, add_rules, expected_ids
from lab.drills.ground import TOKEN, Watch, drill
from lab.installation import Installation
from lab.program import Program
from lab.receiver import ACCEPT_LATE, HANG, Receiver
from lab.waiting import WaitTimeout, wait_until
from market.domain.candle import Candle
from market.domain.series import SeriesId

SERIES = "binance:spot:ALERTS{}/USDT:1s"
CANDLES = 400
KILLS = 4
RESTART_S = 60.0
DELIVERED_S = 180.0
_numbers = itertools.count(1)


@drill(
    "alerts", "alerts: kill -9 of web and worker in mid-delivery, a receiver that hangs and fails"
)
def alerts(installation: Installation, watch: Watch) -> None:
    """The receiver's ids must be those that the stored candles make, no less and no more."""
    series, secret = SERIES.format(next(_numbers)), new_secret()
    with watch.fault(), ExitStack() as stack:
        receiver = stack.enter_context(Receiver(secret, _behave))
        rules = add_rules(installation, series, url=receiver.url, secret=secret)
        installation.run_as(SWITCHES)
        urls = [web.url for web in installation.webs]
        streams = [stack.enter_context(StreamClient(url)) for url in urls]
        wait_until(lambda: all(each.is_connected for each in streams), RESTART_S, "streams")
        poster = Poster(series, urls, TOKEN, CANDLES)
        for number in range(KILLS):
            part = threading.Thread(
                target=poster.post_to, args=((number + 1) * CANDLES // KILLS,), daemon=True
            )
            part.start()
            _kill(installation, receiver, number, watch)
            part.join(RESTART_S)
        watch.expect(poster.posted == CANDLES, f"only {poster.posted} candles were taken")
        receiver.behave = lambda number: 200
        receiver.release()
        expected = _expected(installation, rules, series)
        with suppress(WaitTimeout):
            wait_until(lambda: set(receiver.accepted) >= expected, DELIVERED_S)
            wait_until(lambda: all(set(each.ids) >= expected for each in streams), RESTART_S)
        # What is delivered twice at last would be on its way now.
        wait_until(lambda: receiver.running == 0, RESTART_S, "deliveries to end")
        _count(watch, receiver, streams, expected)
    installation.sql("UPDATE alert_rules SET enabled = false")
    installation.run_as_made()


def _behave(number: int) -> int:
    """Every fifth request fails, a few hang, one is redirected."""
    if number in (3, 4, 40):
        return HANG
    return 302 if number == 10 else 500 if number % 5 == 0 else 200


def _kill(installation: Installation, receiver: Receiver, number: int, watch: Watch) -> None:
    """Kill a process while requests to the receiver are on their way."""
    victim: Program = (
        installation.webs[number // 2 % 2]
        if number % 2
        else next(each for each in installation.workers if each.name == "control")
    )
    receiver.hold()
    receiver.behave = lambda _: ACCEPT_LATE if number % 4 else HANG
    wait_until(lambda: receiver.running > 0, RESTART_S, "a delivery")
    victim.kill()
    watch.note(f"{victim.name} killed with {receiver.running} deliveries on their way")
    receiver.behave = _behave
    receiver.release()
    victim.start().wait_ready()


def _expected(installation: Installation, rules: Iterable[Rule], series: str) -> set[str]:
    engine = Engine(FACTORS, {"pivot": PivotParameters(3, 1)})
    rows = installation.stored(series, 0, 2**40)
    candles = [Candle(**row) for row in rows]
    return expected_ids(rules, SeriesId.parse(series), candles, engine)


def _count(
    watch: Watch, receiver: Receiver, streams: Iterable[StreamClient], expected: set[str]
) -> None:
    accepted = receiver.accepted
    watch.delivered += len(accepted)
    watch.lost += len(expected - set(accepted))
    watch.wrong += len(set(accepted) - expected) + receiver.unsigned
    repeats = len(accepted) - len(set(accepted))
    failed = len(receiver.deliveries) - len(accepted)
    watch.note(
        f"{len(expected)} alerts, all accepted; {failed} attempts failed, {repeats} came twice"
        " with the same id"
    )
    watch.expect(len(expected) > CANDLES // 5, f"only {len(expected)} alerts")
    watch.expect(receiver.most_at_once <= MOST_PER_HOST, f"{receiver.most_at_once} at once")
    for each in streams:
        watch.lost += len(expected - set(each.ids))
        watch.wrong += len(set(each.ids) - expected)
        watch.duplicated += len(each.ids) - len(set(each.ids))
        watch.out_of_order += each.disorder
        watch.expect(each.resets == 0, f"{each.resets} resets of a stream")
