"""Fixtures for tests that cross processes."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import Stack, drop_database, make_template, open_stack


@contextmanager
def passable_folder():
    """A folder that the embedded servers' account can pass through, unlike tmp_path."""
    path = Path(tempfile.mkdtemp(prefix="trade_canvas-test-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def running_stack(migrated_template):
    """A database, a Valkey and real processes on them, for as long as the context lasts."""
    with passable_folder() as folder:
        opened = open_stack(folder, migrated_template)
        try:
            yield opened
        finally:
            opened.close()
            drop_database(opened.database_url)


@pytest.fixture
def open_folder():
    """A folder that the embedded servers' account can pass through, unlike tmp_path."""
    with passable_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def migrated_template(tmp_path_factory):
    """The address of a migrated, empty database that stacks are cloned from."""
    url = make_template(os.environ["DATABASE_URL"], tmp_path_factory.mktemp("template"))
    yield url
    drop_database(url)


@pytest.fixture
def stack(migrated_template):
    """A stack (tests.processes.Stack) for one test."""
    with running_stack(migrated_template) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared_stack(migrated_template):
    """A stack for the tests of one file, which then keep to series of their own."""
    with running_stack(migrated_template) as opened:
        yield opened


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Show the last lines of every process when a test fails."""
    report = yield
    if report.failed:
        arguments = getattr(item, "funcargs", {})
        stacks = {id(each): each for each in arguments.values() if isinstance(each, Stack)}
        for each in stacks.values():
            report.sections.append(("processes", each.show()))
    return report
