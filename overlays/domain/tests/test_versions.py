"""The version ledger in memory."""

from __future__ import annotations

import pytest

from overlays.domain.instruction import WITHDRAWN, Change, marker, polyline
from overlays.domain.versions import SeriesVersions


def mark(name, time, visible):
    definition = marker(
        name, time, position="aboveBar", color="red", shape="circle", text="", size=1.0
    )
    return Change(name, "marker", visible, definition)


def line(name, times, visible, *, open_end=False):
    points = [(time, 1.0) for time in times]
    definition = polyline(name, points, color="red", width=1, extend_right=open_end)
    return Change(name, "polyline", visible, definition)


@pytest.fixture
def versions():
    stored = SeriesVersions()
    stored.append(3, mark("mark", 60, 120))
    stored.append(5, line("edge", (60, 120), 180, open_end=True))
    stored.append(6, line("pen", (120, 180), 240))
    stored.append(9, line("pen", (120, 300), 300))
    stored.append(10, Change("edge", "polyline", 360, WITHDRAWN))
    return stored


def names(versions, to_time, cutoff=0):
    return {
        (version.instruction_id, version.version_id)
        for version in versions.newest(to_time, cutoff=cutoff)
    }


def test_newest_shows_nothing_before_the_first_version(versions):
    assert names(versions, 60) == set()


def test_newest_shows_the_version_of_that_time(versions):
    assert names(versions, 240) == {("mark", 3), ("edge", 5), ("pen", 6)}
    assert names(versions, 300) == {("mark", 3), ("edge", 5), ("pen", 9)}


def test_newest_leaves_out_what_is_withdrawn(versions):
    assert names(versions, 360) == {("mark", 3), ("pen", 9)}


def test_newest_leaves_out_what_ended_before_the_window(versions):
    assert names(versions, 300, cutoff=61) == {("edge", 5), ("pen", 9)}


def test_newest_shows_an_open_end_however_late_the_window_is(versions):
    assert names(versions, 359, cutoff=350) == {("edge", 5)}


def test_newest_shows_a_line_whose_points_lie_on_both_sides_of_the_window(versions):
    assert ("pen", 9) in names(versions, 300, cutoff=200)


def test_after_gives_the_first_visible_versions_behind_the_cursor(versions):
    assert [version.version_id for version in versions.after(3, 300, limit=10)] == [5, 6, 9]
    assert [version.version_id for version in versions.after(3, 300, limit=2)] == [5, 6]
    assert list(versions.after(9, 300, limit=10)) == []


def test_greatest_id_counts_only_visible_versions(versions):
    assert [versions.greatest_id(time) for time in (119, 120, 300, 999)] == [0, 3, 9, 10]


def test_newest_of_finds_one_instruction_at_a_time(versions):
    assert versions.newest_of("pen", 180) is None
    assert versions.newest_of("pen", 240).version_id == 6
    assert versions.newest_of("pen", 999).version_id == 9
    assert versions.newest_of("edge", 360).definition == WITHDRAWN
    assert versions.newest_of("other", 999) is None


def test_before_forgets_what_became_visible_later(versions):
    kept = versions.before(300)
    assert [version.version_id for version in kept] == [3, 5, 6]
    assert names(kept, 999) == {("mark", 3), ("edge", 5), ("pen", 6)}
    assert len(versions) == 5
