"""Building replay packages: the request, its status, and the work, which may stop at any part.

A part is some windows of the package. Built parts stay on disk, so a build that was interrupted
goes on after the last one. All functions block.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from django.conf import settings

from factors import runtime as factors
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.runtime import candle_store
from market.singletons import once
from overlays import runtime
from overlays.domain.versions import NEVER
from overlays.reads import NoData, OutOfSync
from overlays.replay.artifacts import Artifacts, Busy, Folder
from overlays.replay.package import (
    Object,
    PackageSpec,
    first_part,
    joined,
    opened,
    package_file,
    part_of,
)
from overlays.replay.reader import Past, ReplayReader, Revised

log = logging.getLogger(__name__)

# Candles beyond the window that a package may have; only a series off its grid has them.
SLACK_CANDLES = 10

# Candles of one part, or of one window if that has more.
PART_CANDLES = 500

# A build that no builder is at work on is asked for again after this.
ASK_AGAIN_S = 15.0
# A failed build may be tried again after this.
ERROR_S = 60.0

MEGABYTE = 1 << 20

Status = Literal["building", "done", "error"]


class CoverageMissing(Exception):
    """Fewer candles are stored than the package is to have."""


class NotBuilt(Exception):
    """There is no package of this key; `is_known`: it was asked for."""

    def __init__(self, *, is_known: bool) -> None:
        super().__init__(is_known)
        self.is_known = is_known


@dataclass(frozen=True, slots=True)
class Job:
    """The state of a build; `is_due`: a builder has to be asked for."""

    key: str
    status: Status
    error: str | None = None
    is_due: bool = False


@once
def artifacts() -> Artifacts:
    """The packages of this installation."""
    switches = settings.SWITCHES
    root = Path(switches.artifacts_dir or settings.DATA_DIR / "artifacts")
    return Artifacts(root.resolve(), switches.replay_packages_max_mb * MEGABYTE)


def reader() -> ReplayReader:
    """Reads the ledgers of this process's stores."""
    return ReplayReader(
        candle_store(),
        factors.factor_ledger(),
        runtime.overlay_ledger(),
        factors.engine().factors,
    )


def spec_of(
    series: SeriesId,
    to_time: int | None,
    *,
    window_candles: int,
    window_size: int,
    snapshot_interval: int,
) -> PackageSpec:
    """What a package must be built of, checked against the stores.

    Raises NoData, CoverageMissing, and OutOfSync when a ledger has not reached its last candle.
    """
    store = candle_store()
    head = store.state(series).head
    aligned = None if head is None else store.floor(series, head if to_time is None else to_time)
    if aligned is None:
        raise NoData
    start = max(0, series.timeframe.moved(aligned, 1 - window_candles))
    if store.count(series, start, aligned) < window_candles:
        raise CoverageMissing
    for reached in (factors.head_time(series), runtime.head_time(series)):
        if reached is None or reached < aligned:
            raise OutOfSync("replay")
    return PackageSpec(
        series_id=str(series),
        to_candle_time=aligned,
        window_candles=window_candles,
        window_size=window_size,
        snapshot_interval=snapshot_interval,
        candle_store_head_time=head or 0,
        factor_store_last_event_id=factors.factor_ledger().last_event_id(series),
        overlay_store_last_version_id=runtime.overlay_ledger().versions(series).greatest_id(NEVER),
    )


def request(spec: PackageSpec) -> Job:
    """Note that a package is wanted; what is built, or being built, is not begun again."""
    key = spec.cache_key
    folder = _folder(key)
    package = folder.read(folder.package)
    if package is not None and not _is_stale(spec, package["past"]):
        folder.use()
        return Job(key, "done")
    if package is not None:
        folder.package.unlink(missing_ok=True)
        folder.drop_parts()
    known = _job(key, folder)
    if known is not None and package is None:
        return known
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write(folder.job, {"spec": asdict(spec), "error": None})
    return Job(key, "building", is_due=True)


def status(key: str) -> Job:
    """The state of a build; raises NotBuilt for one that was never asked for."""
    folder = artifacts().folder(key)
    if folder is not None:
        if folder.package.exists():
            return Job(key, "done")
        if (job := _job(key, folder)) is not None:
            return job
    raise NotBuilt(is_known=False)


def package(key: str) -> Object:
    """A finished package; raises NotBuilt."""
    folder = artifacts().folder(key)
    found: Object | None = None if folder is None else folder.read(folder.package)
    if folder is None or found is None:
        raise NotBuilt(is_known=folder is not None and folder.job.exists())
    folder.use()
    return opened(found)


def forget(key: str) -> None:
    """Forget a request that no builder could be asked for."""
    _folder(key).job.unlink(missing_ok=True)


def parts(key: str) -> Iterator[int]:
    """Build what is missing of a package; one item after each part. Errors end in its status.

    Does nothing if another builder is at work, or if it is built.
    """
    folder = _folder(key)
    try:
        with folder.locked():
            job = folder.read(folder.job)
            if job is None or folder.package.exists():
                return
            spec = PackageSpec(**job["spec"])
            try:
                yield from _build(folder, spec)
            except (Revised, OutOfSync, NoData) as error:
                folder.drop_parts()
                folder.write(folder.job, job | {"error": _text(error)})
            except Exception as error:
                folder.write(folder.job, job | {"error": _text(error)})
                raise
    except (Busy, FileNotFoundError):
        # Another builder is at work, or the folder was dropped.
        return
    artifacts().collect()


def _build(folder: Folder, spec: PackageSpec) -> Iterator[int]:
    candles = candle_store().read_range(
        spec.series,
        spec.from_time,
        spec.to_candle_time,
        limit=spec.window_candles + SLACK_CANDLES,
    )
    if not candles:
        raise NoData
    source = reader()
    past, reached = source.past(spec.series, with_factors=True)
    if reached < candles[-1].candle_time:
        raise OutOfSync("replay")
    builder = _Builder(folder, spec, candles, source, past)
    for number, start in enumerate(range(0, len(candles), builder.part_candles)):
        builder.build(number, start)
        yield number
    builder.finish()


@dataclass(slots=True)
class _Builder:
    """Builds the parts of a package that are not on disk, all of one past."""

    folder: Folder
    spec: PackageSpec
    candles: list[Candle]
    source: ReplayReader
    past: Past
    count: int = 0

    @property
    def part_candles(self) -> int:
        """Candles of one part: whole windows."""
        size = self.spec.window_size
        return size * -(-PART_CANDLES // size)

    def build(self, number: int, start: int) -> None:
        """Build one part, unless it is there already."""
        self.count = number + 1
        path = self.folder.part(number)
        held = self.folder.read(path)
        if held is not None and held["past"] == list(self.past):
            return
        # From the bar before; the first part begins with all that its first bar shows.
        walk = self.source.begin(
            self.spec.series,
            self.candles[max(0, start - 1)].candle_time,
            window=self.spec.window_candles,
            with_factors=True,
        )
        if walk.past != self.past:
            raise Revised
        windows = []
        for place in range(start, start + self.part_candles, self.spec.window_size):
            bars = self.candles[place : place + self.spec.window_size]
            if place == 0:
                window = joined(first_part(walk), part_of(walk.take(bars[1:]), start_idx=1))
                windows.append(window)
            elif bars:
                windows.append(part_of(walk.take(bars), start_idx=place))
        self.folder.write(path, {"past": list(self.past), "windows": windows})

    def finish(self) -> None:
        """Write the package of its parts, and delete them."""
        held = [self.folder.read(self.folder.part(number)) for number in range(self.count)]
        if any(each is None or each["past"] != list(self.past) for each in held):
            raise Revised
        content = package_file(
            self.spec,
            [window for each in held for window in each["windows"]],
            factors=[each.name for each in self.source.specs],
            past=self.past._asdict(),
            now_ms=int(time.time() * 1000),
        )
        self.folder.write(self.folder.package, content)
        self.folder.drop_parts()


def _folder(key: str) -> Folder:
    folder = artifacts().folder(key)
    assert folder is not None
    return folder


def _job(key: str, folder: Folder) -> Job | None:
    """The state of a build without a package yet; None if there is none, or it failed long ago."""
    job = folder.read(folder.job)
    if job is None:
        return None
    try:
        age_s = time.time() - folder.job.stat().st_mtime
        if job["error"] is not None:
            return None if age_s > ERROR_S else Job(key, "error", job["error"])
        is_due = age_s > ASK_AGAIN_S and not folder.is_locked()
        if is_due:
            os.utime(folder.job)
    except FileNotFoundError:
        # It was dropped just now.
        return None
    return Job(key, "building", is_due=is_due)


def _is_stale(spec: PackageSpec, past: dict[str, Any]) -> bool:
    """Whether candles of a package were revised since it was built; its key does not tell."""
    state = candle_store().state(spec.series)
    if past["generation"] != state.generation:
        return True
    revised_from = candle_store().revised_since(spec.series, past["epoch"])
    return revised_from is not None and revised_from <= spec.to_candle_time


def _text(error: Exception) -> str:
    if isinstance(error, Revised):
        return "revised"
    if isinstance(error, OutOfSync):
        return f"ledger_out_of_sync:{error.ledger}"
    if isinstance(error, NoData):
        return "no_candles"
    return str(error) or type(error).__name__
