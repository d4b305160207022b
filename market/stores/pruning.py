"""Removing the rows of series that never had a candle.

Nothing creates such rows any more; earlier versions made one for every series that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from market.models import Candle, Series

# The lock of a series' writers (market.stores.postgres): none may be about to write its first
# candle.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"


def without_candles() -> QuerySet[Series]:
    """The series that have no candle and never had one."""
    stored = Candle.objects.filter(series_id=OuterRef("pk"))
    return Series.objects.filter(~Exists(stored), head_time=None, epoch=0).order_by("name")


def prune(names: Iterable[str]) -> int:
    """Remove those of the named series that have no candle; return how many. Blocking.

    A follow job of a removed series goes on: the row comes back with its first candle.
    """
    removed = 0
    for name in names:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(LOCK, [name])
            for row in without_candles().filter(name=name):
                row.delete()
                removed += 1
    return removed
