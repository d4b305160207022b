"""The Celery task of replay: builds packages, part by part.

A build that is delivered twice, lost or interrupted leaves its parts; the next one goes on there.
"""

from __future__ import annotations

from functools import partial

from celery import shared_task

from market import blocking
from market.ingest import dispatch
from market.tasks import STOP
from overlays.replay import jobs

BUILD_REPLAY = "overlays.tasks.build_replay"
QUEUE = "build"
EXPIRES_S = 3600.0


def request_build(key: str) -> bool:
    """Have a package built by a worker, or by this process beside its work. Blocking.

    False when the request could not be delivered.
    """
    return dispatch.request(
        BUILD_REPLAY, key, expires=EXPIRES_S, here=partial(build_beside, key), queue=QUEUE
    )


@shared_task(name=BUILD_REPLAY)
def build_replay(key: str) -> None:
    """Build a package; ends between two parts when the worker does."""
    parts = jobs.parts(key)
    while not STOP.is_set and blocking.call(next, parts, None) is not None:
        pass


async def build_beside(key: str) -> None:
    """Build a package beside the web process's own work, on its database threads."""
    parts = jobs.parts(key)
    while await blocking.run(next, parts, None) is not None:
        pass
