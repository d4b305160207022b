"""Heads as the table `factor_heads` holds them, written and read.

A head that only repeats its candle's event is stored without a text of its own: the levels of a
snapshot are the greatest part of the ledger and would be stored twice. A dense row has its text
packed in `data`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from factors.domain.values import Event, Head, Payload
from factors.stores.chains import texts_of
from factors.stores.dense import packed, unpacked
from market.stores.postgres import SERIES_KEY

# The names of factors that occur in the heads of a series, each found by one step in the index.
NAMES = """
WITH RECURSIVE this_series AS ({key}), found AS (
    (SELECT factor_name FROM factor_heads WHERE series_id = (SELECT id FROM this_series)
     ORDER BY factor_name LIMIT 1)
    UNION ALL
    SELECT (SELECT factor_name FROM factor_heads WHERE series_id = (SELECT id FROM this_series)
            AND factor_name > found.factor_name ORDER BY factor_name LIMIT 1)
    FROM found WHERE found.factor_name IS NOT NULL
), names AS (SELECT factor_name FROM found WHERE factor_name IS NOT NULL)
"""
NAMES_OF_SERIES = NAMES.format(key=f"SELECT {SERIES_KEY} AS id")
NAMES_OF_KEY = NAMES.format(key="SELECT %s AS id")

# Of a head without a text the event that it repeats.
REPEATED = """(
    SELECT {column} FROM factor_events AS event
    WHERE event.series_id = held.series_id AND event.candle_time = held.candle_time
      AND event.factor_name = held.factor_name ORDER BY id DESC LIMIT 1
)"""
HEAD_TEXT = f"""
coalesce(held.head, {REPEATED.format(column="payload")}),
CASE WHEN held.head IS NULL THEN {REPEATED.format(column="data")} ELSE held.data END,
held.head IS NULL
"""


def dense_head(time: int, head: str) -> tuple[str, bytes]:
    """The text of a head packed."""
    return "", packed(head, time)


def head_text(time: int, head: str, data: memoryview | None) -> str:
    """The head of a row that has a text, in either form."""
    return head if data is None else unpacked(data, time)


def head_row(key: int, head: Head, events: Iterable[Event], *, dense: bool) -> tuple[Any, ...]:
    """A head; without a text if the factor's last event of the candle has the same fields."""
    payloads = [event.payload for event in events if event.factor == head.factor]
    repeats = payloads and list(bare(payloads[-1]).items()) == list(head.head.items())
    if repeats:
        return key, head.factor, head.candle_time, None, None
    text = orjson.dumps(head.head).decode()
    texts = dense_head(head.candle_time, text) if dense else (text, None)
    return key, head.factor, head.candle_time, *texts


def bare(payload: Payload) -> Payload:
    """The head that repeats an event with this payload."""
    return {name: value for name, value in payload.items() if name != "visible_time"}


def head_of(time: int, text: str, data: memoryview | None, *, repeats_event: bool) -> Payload:
    """A head of the columns of HEAD_TEXT, by the text of its own or of the event it repeats."""
    found: Payload
    if not repeats_event:
        found = orjson.loads(head_text(time, text, data))
        return found
    payload = text if data is None else texts_of(unpacked(data, time))[1]
    found = orjson.loads(payload)
    return bare(found)
