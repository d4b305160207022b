"""The order of files: what waits runs beside what computes, and no long file comes last."""

from __future__ import annotations

from tests.distribution import INSTALLATION_OF, places_of

PROCESSES = {f"tests/test_{number:02}.py": 1 for number in range(10)}
OTHERS = {f"market/tests/test_{number:02}.py": 1 + number for number in range(100)}
SHARED = dict.fromkeys(INSTALLATION_OF, 5)


def order():
    places = places_of({**OTHERS, **PROCESSES, **SHARED})
    return sorted(places, key=lambda each: places[each])


def test_every_file_has_a_place_of_its_own():
    assert sorted(places_of({**OTHERS, **PROCESSES, **SHARED}).values()) == list(
        range(len(order()))
    )
    assert places_of({}) == {}


def test_files_that_share_an_installation_come_first():
    assert set(order()[: len(SHARED)]) == set(SHARED)


def test_files_that_start_processes_have_others_between_them():
    places = [place for place, each in enumerate(order()) if each in PROCESSES]
    assert all(5 < later - earlier < 10 for earlier, later in zip(places, places[1:], strict=False))


def test_the_end_is_left_to_files_of_few_tests():
    assert order()[-20:] == [f"market/tests/test_{number:02}.py" for number in range(19, -1, -1)]
