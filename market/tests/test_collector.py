"""The garbage collector pauses for a group commit and a start, and never for good."""

from __future__ import annotations

import gc

import pytest

from market import collector


def test_collector_pauses_inside_and_goes_on_after_an_error():
    with pytest.raises(RuntimeError), collector.paused():
        assert not gc.isenabled()
        raise RuntimeError
    assert gc.isenabled()


def test_overlapping_pauses_end_with_the_first():
    first, second, third = collector.paused(), collector.paused(), collector.paused()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.isenabled()
    third.__enter__()
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert not gc.isenabled()
    third.__exit__(None, None, None)
    assert gc.isenabled()


def test_collector_that_is_off_stays_off():
    gc.disable()
    try:
        with collector.paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_a_start_loads_is_never_looked_through_again():
    kept = gc.get_freeze_count()
    collector.begin_start()
    try:
        assert not gc.isenabled()
        loaded = [[] for _ in range(1_000)]
        collector.end_start()
        assert gc.isenabled()
        assert gc.get_freeze_count() >= kept + len(loaded)
    finally:
        gc.enable()
