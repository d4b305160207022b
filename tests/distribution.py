"""Tests that run one behind another in one test process: of a file, and of some files together.

And the order in which test processes take files. Files of top-level `tests/` start processes and
wait for them half of their time; the others compute. Running side by side they fill the processors.
"""

from __future__ import annotations

from collections.abc import Mapping

from xdist.scheduler import LoadFileScheduling

INSTALLATION_OF = {
    "tests/browser/test_example_chart.py": "first installation",
    "tests/browser/test_history.py": "first installation",
    "tests/browser/test_page.py": "first installation",
    "tests/browser/test_search.py": "first installation",
    "tests/browser/test_accessibility.py": "second installation",
    "tests/browser/test_admin.py": "second installation",
    "tests/browser/test_crowd_pages.py": "second installation",
    "tests/browser/test_derived_status.py": "second installation",
    "tests/browser/test_prefix.py": "second installation",
    "tests/browser/test_shell.py": "second installation",
    "tests/test_live_ingest.py": "second installation",
}
"""The files whose tests use the fixture `installed`, seven processes, and which one they share."""

PROCESS_TESTS = "tests/"
# The last file that starts processes is taken at this share of the others: some take a minute.
# Only files of few tests are left at the end, so that all test processes end at about one time.
PROCESSES_END = 0.7


def file_of(nodeid: str) -> str:
    """Return the file of a test."""
    return nodeid.partition("::")[0]


def places_of(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the place of each file in the order, from the number of tests in each.

    First those that share an installation, which take longest; then files that start processes and
    others, mixed, and of the latter those with most tests first.
    """
    shared = [each for each in counts if each in INSTALLATION_OF]
    processes = sorted(
        each for each in counts if each.startswith(PROCESS_TESTS) and each not in INSTALLATION_OF
    )
    others = sorted(
        (each for each in counts if not each.startswith(PROCESS_TESTS)),
        key=lambda each: -counts[each],
    )
    shares = {**_spread(processes, PROCESSES_END), **_spread(others, 1.0)}
    ordered = [*shared, *sorted(shares, key=lambda each: shares[each])]
    return {each: place for place, each in enumerate(ordered)}


def _spread(files: list[str], end: float) -> dict[str, float]:
    """Place files at equal distances from 0 to `end`."""
    return {each: end * number / len(files) for number, each in enumerate(files)}


class Distribution(LoadFileScheduling):
    """Gives whole files to each test process, and those that share an installation to one."""

    def _split_scope(self, nodeid: str) -> str:
        path = super()._split_scope(nodeid)
        return INSTALLATION_OF.get(path, path)
