"""The event loops of a worker's follow jobs: whom they take, and how they end."""

from __future__ import annotations

import threading
import time

import pytest

from lab.waiting import eventually, patience, wait_until
from market.domain.lease_store import Group
from market.ingest.follow_loops import FollowLoops, Started

GROUPS = [Group("sim", "spot", number) for number in range(5)]


class Bench:
    """Loops whose jobs run until they are let go, and the thread that each runs on."""

    def __init__(self, limit):
        self.stopping = False
        self.threads = {}
        self.failing = set()
        self.over = set()
        self.handed_over = []
        self.loops = FollowLoops(self.follow, hand_over=self.hand_over, limit=limit)

    def hand_over(self, group):
        self.handed_over.append((group, self.loops.start(group, is_pinned=False)))

    async def follow(self, group):
        self.threads[group] = threading.current_thread().name
        if group in self.failing:
            raise RuntimeError("broken")
        if group in self.over:
            self.over.discard(group)
            return True
        await eventually(lambda: self.stopping)
        return False

    def start(self, group, is_pinned=False):
        return self.loops.start(group, is_pinned=is_pinned)


@pytest.fixture
def bench():
    bench = Bench(limit=2)
    yield bench
    bench.stopping = True
    bench.loops.close()


def test_on_demand_groups_never_take_the_place_of_whitelisted_ones(bench):
    started = [bench.start(group) for group in GROUPS[:3]]
    assert started == [Started.NOW, Started.NOW, Started.FULL]
    assert [bench.start(group, is_pinned=True) for group in GROUPS[2:]] == [Started.NOW] * 3
    assert bench.start(GROUPS[0]) is Started.ALREADY


def test_whitelisted_groups_share_a_loop_that_no_other_group_blocks(bench):
    bench.start(GROUPS[0])
    for group in GROUPS[1:3]:
        bench.start(group, is_pinned=True)
    wait_until(lambda: len(bench.threads) == 3)
    others, *pinned = (bench.threads[group] for group in GROUPS[:3])
    assert pinned == ["whitelist loop"] * 2
    assert others == "on-demand loop"


def test_worker_may_follow_on_after_its_own_hand_over(bench):
    bench.over.add(GROUPS[0])
    bench.start(GROUPS[0])
    wait_until(lambda: bench.handed_over == [(GROUPS[0], Started.NOW)])


def test_failed_job_makes_room(bench):
    bench.failing.update(GROUPS[:2])
    for group in GROUPS[:2]:
        bench.start(group)
    wait_until(lambda: bench.start(GROUPS[2]) is Started.NOW)


def test_close_waits_for_jobs_that_end_and_cancels_those_that_do_not(bench, monkeypatch):
    bench.start(GROUPS[0])
    threading.Timer(0.1, setattr, (bench, "stopping", True)).start()
    began = time.monotonic()
    bench.loops.close()
    assert time.monotonic() - began < patience(5)
    assert bench.start(GROUPS[1]) is Started.FULL
    assert not [each for each in threading.enumerate() if each.name.endswith("-demand loop")]
