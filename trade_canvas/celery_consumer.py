"""Celery's consumer, which a worker keeps while its broker restarts."""

from __future__ import annotations

import logging
from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer
from typing_extensions import override

logger = logging.getLogger(__name__)


class Consumer(CeleryConsumer):
    """Connects again after an AttributeError of a connection that is gone, too.

    kombu drops the parts of a lost connection one by one, and another thread, or the clean-up
    itself, may find one missing: "'NoneType' object has no attribute …". Celery takes that for a
    fault of its own and ends the worker with status 1, and all that it follows.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # Tasks run in threads of the pool: none of their errors arrives here.
        known: tuple[type[Exception], ...] = self.connection_errors  # type: ignore[has-type]
        self.connection_errors = (*known, AttributeError)

    @override
    def on_connection_error_after_connected(self, exc: Exception) -> None:
        try:
            super().on_connection_error_after_connected(exc)
        except AttributeError as error:
            # Half closed is enough: the next attempt makes a connection of its own.
            logger.warning("the lost connection to the bus could not be closed: %s", error)
            self.connection = None
