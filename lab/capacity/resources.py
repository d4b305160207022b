"""CPU and memory of every process of a run, sampled meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil

from lab.capacity.figures import Use

PERIOD_S = 1.0
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A process and its children at a time: CPU seconds so far, proportional memory in bytes."""

    at: float
    name: str
    cpu_s: float
    memory: int


class Sampler:
    """Samples processes every second; `processes` is called for their ids each time."""

    def __init__(self, processes: Callable[[], Mapping[str, list[int]]]) -> None:
        self.samples: list[Sample] = []
        self._processes = processes
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT_S)

    def uses(self, before: float, start: float, end: float) -> tuple[Use, ...]:
        """Return cores used from `start` to `end`, memory then and at `before` (Unix seconds)."""
        return tuple(
            use
            for name in dict.fromkeys(sample.name for sample in self.samples)
            if (use := self._use(name, before, start, end)) is not None
        )

    def _use(self, name: str, before: float, start: float, end: float) -> Use | None:
        own = [sample for sample in self.samples if sample.name == name]
        within = [sample for sample in own if start <= sample.at <= end]
        if len(within) < 2:
            return None
        first, last = within[0], within[-1]
        earlier = [sample.memory for sample in own if sample.at <= before] or [first.memory]
        cores = (last.cpu_s - first.cpu_s) / (last.at - first.at)
        return Use(name, round(cores, 4), _megabytes(earlier[-1]), _megabytes(last.memory))

    def _run(self) -> None:
        while not self._stopping.wait(PERIOD_S):
            for name, pids in self._processes().items():
                with suppress(psutil.Error):
                    self.samples.append(_sample(name, pids))


def _sample(name: str, pids: list[int]) -> Sample:
    cpu, memory = 0.0, 0
    for process in _with_children(pids):
        # A child may end meanwhile.
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            cpu += times.user + times.system
            memory += process.memory_full_info().pss
    return Sample(time.time(), name, cpu, memory)


def _with_children(pids: list[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        process = psutil.Process(pid)
        yield process
        yield from process.children(recursive=True)


def _megabytes(size: int) -> float:
    return round(size / 1e6, 2)
