from __future__ import annotations

import io

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from lab.management.commands.capacity import Command
from lab.program import LabFailed


class Pretending(Command):
    """The command with a run that ends with the given outcome."""

    def __init__(self, outcome):
        super().__init__(stdout=io.StringIO())
        self._outcome = outcome

    def _run(self, folder, options):
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


def test_capacity_ends_with_status_one_past_a_threshold(tmp_path):
    with pytest.raises(SystemExit) as ended:
        call_command(Pretending(False), output=tmp_path)
    assert ended.value.code == 1


def test_capacity_succeeds_within_its_thresholds_and_prints_where_the_report_is(tmp_path):
    command = Pretending(True)
    call_command(command, output=tmp_path)
    (folder,) = tmp_path.iterdir()
    assert str(folder) in command.stdout.getvalue()


def test_capacity_fails_when_a_process_ends(tmp_path):
    with pytest.raises(CommandError, match="worker ended"):
        call_command(Pretending(LabFailed("worker ended")), output=tmp_path)


def test_capacity_refuses_more_series_than_the_local_exchange_has(tmp_path):
    with pytest.raises(CommandError, match="not 1000"):
        call_command(Command(), output=tmp_path, series=1000)


def test_capacity_refuses_pages_of_several_series(tmp_path):
    with pytest.raises(CommandError, match="a page shows one series"):
        call_command(Command(), output=tmp_path, pages=10, series_each=2)


def test_capacity_refuses_a_timeframe_that_the_local_exchange_does_not_have(tmp_path):
    with pytest.raises(CommandError, match="not 7m"):
        call_command(Command(), output=tmp_path, timeframe="7m")
