"""Fixtures for tests that cross processes."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.processes import drop_database, make_template, open_stack


@pytest.fixture
def open_folder():
    """A folder that the embedded servers' account can pass through, unlike tmp_path."""
    path = Path(tempfile.mkdtemp(prefix="trade_canvas-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def migrated_template(tmp_path_factory):
    """The address of a migrated, empty database that stacks are cloned from."""
    url = make_template(os.environ["DATABASE_URL"], tmp_path_factory.mktemp("template"))
    yield url
    drop_database(url)


@pytest.fixture
def stack(request, open_folder, migrated_template):
    """A database, a Valkey and real processes on them (tests.processes.Stack)."""
    opened = open_stack(open_folder, migrated_template)
    yield opened
    opened.close()
    # Shown by pytest when the test failed.
    print(opened.show())
    drop_database(opened.database_url)
