"""Builds that stop, crash or meet each other, and what is kept on disk."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace

import pytest

from factors.tests.ledgers import changed
from lab.waiting import eventually
from market.domain.series import SeriesId
from market.ingest.dispatch import BACKGROUND
from overlays.api.tests.drawn import SERIES, ingest, walk
from overlays.replay import jobs
from overlays.replay.artifacts import Artifacts, Folder
from overlays.replay.jobs import artifacts, parts, request, spec_of, status
from overlays.tasks import request_build

pytestmark = pytest.mark.usefixtures("in_memory", "small")


@pytest.fixture
def small(switch, tmp_path):
    switch(pivot_window_major=2, pivot_window_minor=1, artifacts_dir=str(tmp_path))


@pytest.fixture
def wanted(monkeypatch):
    """A package of four parts that was asked for."""
    monkeypatch.setattr(jobs, "PART_CANDLES", 20)
    ingest(walk(150))
    spec = spec_of(
        SeriesId.parse(SERIES), None, window_candles=80, window_size=20, snapshot_interval=5
    )
    assert request(spec).is_due
    return spec


def content(folder):
    found = folder.read(folder.package)
    assert found.pop("created_at_ms")
    return found


def test_a_build_goes_on_after_the_parts_it_has(wanted):
    key = wanted.cache_key
    folder = artifacts().folder(key)
    interrupted = parts(key)
    assert [next(interrupted), next(interrupted)] == [0, 1]
    interrupted.close()
    before = folder.part(0).stat().st_mtime_ns
    assert status(key).status == "building"
    # What a crash may leave: the draft of a file.
    (folder.path / ".part-0002.json.part").write_text("{")
    steps = parts(key)
    assert next(steps) == 0
    assert folder.part(0).stat().st_mtime_ns == before, "a part is not built twice"
    assert list(steps) == [1, 2, 3]
    assert status(key).status == "done"
    assert {each.name for each in folder.path.iterdir()} == {
        "job.json",
        "lock",
        "replay_package.json",
    }
    resumed = content(folder)
    folder.package.unlink()
    list(parts(key))
    assert content(folder) == resumed


def test_parts_of_another_past_are_built_again(wanted):
    key = wanted.cache_key
    interrupted = parts(key)
    next(interrupted), next(interrupted)
    interrupted.close()
    ingest([changed(walk(150)[100])])
    assert list(parts(key)) == [0, 1, 2, 3]
    kline = content(artifacts().folder(key))["windows"][1]["kline"]
    assert kline[10]["close"] == walk(150)[100].close + 1


def test_a_revision_in_the_midst_ends_a_build_with_an_error(wanted):
    key = wanted.cache_key
    building = parts(key)
    next(building)
    ingest([changed(walk(150)[100])])
    assert list(building) == []
    assert (status(key).status, status(key).error) == ("error", "revised")
    assert not list(artifacts().folder(key).path.glob("part-*"))


def test_a_failed_build_may_be_asked_for_again_after_a_while(wanted, monkeypatch):
    key = wanted.cache_key
    with monkeypatch.context() as broken:
        broken.setattr(jobs, "part_of", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(parts(key))
    assert request(wanted).error == "division by zero"
    job = artifacts().folder(key).job
    os.utime(job, (0, time.time() - jobs.ERROR_S - 1))
    assert request(wanted).is_due
    list(parts(key))
    assert status(key).status == "done"


def test_only_one_builder_works_on_a_package(wanted):
    key = wanted.cache_key
    first = parts(key)
    next(first)
    assert list(parts(key)) == []
    assert len(list(first)) == 3


def test_a_build_that_nobody_works_on_is_due_again(wanted):
    key = wanted.cache_key
    assert not status(key).is_due
    job = artifacts().folder(key).job
    long_ago = time.time() - jobs.ASK_AGAIN_S - 1
    os.utime(job, (0, long_ago))
    building = parts(key)
    next(building)
    assert not status(key).is_due, "a builder is at work"
    building.close()
    assert status(key).is_due
    assert not status(key).is_due, "it was asked for just now"


def test_packages_used_longest_ago_are_dropped_first(tmp_path):
    kept = Artifacts(tmp_path, max_bytes=2500)
    folders = [kept.folder(f"{n:024x}") for n in range(4)]
    for age, folder in enumerate(folders):
        folder.path.mkdir(parents=True)
        folder.package.write_bytes(b"x" * 1000)
        os.utime(folder.package, (0, time.time() - 1000 + age))
    folders[0].use()
    kept.collect()
    assert [folder.package.exists() for folder in folders] == [True, False, False, True]
    replace(kept, max_bytes=1).collect()
    assert [folder.package.exists() for folder in folders] == [True, False, False, False]


def test_builds_left_for_a_day_are_dropped(tmp_path):
    kept = Artifacts(tmp_path, max_bytes=1)
    old, new = kept.folder("a" * 24), kept.folder("b" * 24)
    for folder in (old, new):
        folder.path.mkdir(parents=True)
        folder.write(folder.job, {})
    os.utime(old.job, (0, 0))
    kept.collect()
    assert (old.path.exists(), new.path.exists()) == (False, True)


def test_folder_without_its_request_is_dropped_after_a_day(tmp_path):
    """What is left of one when its process is killed while it makes or deletes it."""
    kept = Artifacts(tmp_path, max_bytes=1)
    old, new = kept.folder("a" * 24), kept.folder("b" * 24)
    for folder in (old, new):
        folder.path.mkdir(parents=True)
        (folder.path / ".job.json.part").write_text("{")
    os.utime(old.path, (0, 0))
    kept.collect()
    assert (old.path.exists(), new.path.exists()) == (False, True)


def test_package_whose_files_go_meanwhile_does_not_end_the_collection(tmp_path):
    kept = Artifacts(tmp_path, max_bytes=1)
    folders = [kept.folder(letter * 24) for letter in "abc"]
    for age, folder in enumerate(folders):
        folder.path.mkdir(parents=True)
        folder.package.write_bytes(b"x")
        os.utime(folder.package, (0, 1000 + age))
    # A file that another collection deletes between a look at the folder and one at the file.
    (folders[1].path / "lock").symlink_to("gone")
    kept.collect()
    assert [folder.package.exists() for folder in folders] == [False, False, True]


def test_status_of_a_build_that_is_dropped_meanwhile(wanted, monkeypatch):
    folder = artifacts().folder(wanted.cache_key)
    os.utime(folder.job, (0, time.time() - jobs.ASK_AGAIN_S - 1))

    def dropped(self):
        shutil.rmtree(self.path)
        raise FileNotFoundError(self.path)

    monkeypatch.setattr(Folder, "is_locked", dropped)
    with pytest.raises(jobs.NotBuilt):
        status(wanted.cache_key)


def test_what_is_no_key_has_no_folder(tmp_path):
    kept = Artifacts(tmp_path, max_bytes=1)
    assert kept.folder("../" + "a" * 21) is None
    assert kept.folder("A" * 24) is None
    assert isinstance(kept.folder("a" * 24), Folder)


def test_small_windows_share_a_part():
    ingest(walk(150))
    series = SeriesId.parse(SERIES)
    spec = spec_of(series, None, window_candles=80, window_size=3, snapshot_interval=5)
    request(spec)
    assert list(parts(spec.cache_key)) == [0]
    windows = jobs.package(spec.cache_key)["windows"]
    assert [each["start_idx"] for each in windows] == list(range(0, 80, 3))
    assert [len(each["kline"]) for each in windows] == [3] * 26 + [2]


async def test_a_process_without_workers_builds_beside_its_work(wanted):
    BACKGROUND.open()
    try:
        assert request_build(wanted.cache_key)
        await eventually(lambda: status(wanted.cache_key).status == "done")
    finally:
        await BACKGROUND.close()
