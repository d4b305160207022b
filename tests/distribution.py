"""Tests that run one behind another in one test process: of a file, and of some files together."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

INSTALLATION_OF = {
    "tests/browser/test_example_chart.py": "first installation",
    "tests/browser/test_history.py": "first installation",
    "tests/browser/test_page.py": "first installation",
    "tests/browser/test_search.py": "first installation",
    "tests/browser/test_accessibility.py": "second installation",
    "tests/browser/test_admin.py": "second installation",
    "tests/browser/test_crowd_pages.py": "second installation",
    "tests/browser/test_prefix.py": "second installation",
    "tests/browser/test_shell.py": "second installation",
    "tests/test_live_ingest.py": "second installation",
}
"""The files whose tests use the fixture `installed`, seven processes, and which one they share."""


class Distribution(LoadFileScheduling):
    """Gives whole files to each test process, and those that share an installation to one."""

    def _split_scope(self, nodeid: str) -> str:
        path = super()._split_scope(nodeid)
        return INSTALLATION_OF.get(path, path)
