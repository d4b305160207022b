"""The pools of threads that Celery tasks run in: a worker process each, wherever they are started.

Separate, so that no backfill delays a follow job, and neither delays the control tasks that start
them. `up`, docker/compose.yaml and docker/kubernetes start exactly these; tests compare them.
"""

from __future__ import annotations

from typing import NamedTuple


class Pool(NamedTuple):
    """One kind of worker process, the queues it takes, and its threads."""

    name: str
    queues: tuple[str, ...]
    threads: int

    @property
    def options(self) -> tuple[str, ...]:
        """The options of `celery worker`."""
        return (
            "--pool=threads",
            f"--concurrency={self.threads}",
            f"--queues={','.join(self.queues)}",
            "--without-gossip",
            "--without-mingle",
            "--loglevel=INFO",
        )


POOLS = (
    # Short tasks. Two threads: one that waits for the database does not stop the other.
    Pool("control", ("control",), 2),
    # Each task only hands a group to the process's event loops (market.ingest.follow_loops).
    Pool("follower", ("follow",), 4),
    # Long tasks.
    Pool("worker", ("backfill", "build"), 8),
)
QUEUES = tuple(queue for pool in POOLS for queue in pool.queues)
EVERYTHING = Pool("worker", QUEUES, 16)
"""All pools in one process, for tests and small measurements."""
