"""Alerts of one real process that is killed in mid-delivery: the receiver has each id, no other.

`manage.py drill alerts` does the same to several web processes and workers.
"""

from __future__ import annotations

import pytest

from factors.alerts.models import new_secret
from factors.domain.all_factors import FACTORS
from factors.domain.engine import Engine
from factors.domain.pivot import PivotParameters
from lab.alerts import SWITCHES, Poster, StreamClient, add_rules, expected_ids
from lab.receiver import ACCEPT_LATE, Receiver
from lab.waiting import wait_until
from market.domain.candle import Candle
from market.domain.series import SeriesId

SERIES = "binance:spot:ALERTED/USDT:1s"
CANDLES = 120
DELIVERED_S = 60.0
# A process that ingests itself delivers itself.
ALONE = {**SWITCHES, "TRADE_CANVAS_ENABLE_WS_PUBSUB": "0"}


@pytest.mark.prove
def test_receiver_and_stream_get_every_alert_across_a_kill(session_stack):
    secret = new_secret()
    with Receiver(secret, lambda number: 500 if number % 5 == 0 else 200) as receiver:
        usual = receiver.behave
        rules = add_rules(session_stack, SERIES, url=receiver.url, secret=secret)
        web = session_stack.web(**ALONE)
        with StreamClient(web.url) as stream:
            wait_until(lambda: stream.is_connected)
            poster = Poster(SERIES, [web.url], "", CANDLES)
            poster.post_to(CANDLES // 2)
            receiver.hold()
            receiver.behave = lambda number: ACCEPT_LATE
            poster.post_to(CANDLES // 2 + 20)
            wait_until(lambda: receiver.running, what="a delivery on its way")
            web.kill()
            receiver.behave = usual
            receiver.release()
            web.start().wait_ready()
            # As if the claims of the killed process had run out.
            session_stack.sql("UPDATE alerts SET next_attempt_at = now(), claimed_until = now()")
            poster.post_to(CANDLES)
            rows = session_stack.stored(SERIES, 0, 2**40)
            candles = [Candle(**row) for row in rows]
            engine = Engine(FACTORS, {"pivot": PivotParameters(3, 1)})
            expected = expected_ids(rules, SeriesId.parse(SERIES), candles, engine)
            assert len(candles) == CANDLES and len(expected) > CANDLES // 5
            wait_until(lambda: set(receiver.accepted) >= expected, DELIVERED_S, "deliveries")
            wait_until(lambda: set(stream.ids) >= expected, DELIVERED_S, "the stream")
            assert set(receiver.accepted) == set(stream.ids) == expected
            assert len(stream.ids) == len(expected) and stream.disorder == stream.resets == 0
            assert receiver.unsigned == 0
        session_stack.sql("UPDATE alert_rules SET enabled = false WHERE series = %s", SERIES)
        web.terminate()
