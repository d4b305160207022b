"""Repeated lines of the log are written once, then counted, and their end is logged."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import pytest

from lab.waiting import patience, wait_until
from trade_canvas import environment, log_repeats
from trade_canvas.log_repeats import INTERVAL_S, MOST_KINDS, QUIET_S, SHOWN, FoldRepeats


class Log:
    """A logger on a handler with a clock of its own."""

    def __init__(self, name="market.test"):
        self.now = 0.0
        self.stream = io.StringIO()
        self.handler = FoldRepeats(clock=lambda: self.now)
        self.handler.setStream(self.stream)
        self.handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        self.logger = logging.Logger(name)
        self.logger.addHandler(self.handler)

    def warn(self, template, *arguments):
        self.logger.warning(template, *arguments)

    def pass_s(self, seconds):
        self.now += seconds
        self.handler.settle()

    @property
    def lines(self):
        return self.stream.getvalue().splitlines()


@pytest.fixture
def log(monkeypatch):
    # Only the tests settle it.
    monkeypatch.setattr(FoldRepeats, "_keep_watch", lambda self: None)
    return Log()


def test_repeats_are_written_once_with_their_count(log):
    for _ in range(1000):
        log.warn("the bus is full")
    assert log.lines == ["WARNING the bus is full"]
    log.now = INTERVAL_S - 1
    log.warn("the bus is full")
    log.pass_s(1)
    assert log.lines[1:] == ["WARNING repeated 1,000 times more in 60 s: the bus is full"]


def test_end_of_repeats_is_logged(log):
    log.warn("the bus is full")
    log.now = 5
    log.warn("the bus is full")
    log.pass_s(QUIET_S - 1)
    assert len(log.lines) == 1
    log.pass_s(1)
    assert log.lines[1:] == ["INFO no longer repeated, 1 times more in 5 s: the bus is full"]
    log.pass_s(INTERVAL_S)
    assert len(log.lines) == 2


def test_lasting_error_is_shown_again_every_interval(log):
    for _ in range(int(10 * INTERVAL_S)):
        log.now += 1
        log.handler.settle()
        log.warn("the bus is full")
    assert 15 <= len(log.lines) <= 25
    assert sum("repeated" in line for line in log.lines) >= 9


def test_a_few_different_messages_of_one_template_are_written(log):
    for number in range(50):
        log.warn("%s was not queued", f"series {number}")
    assert log.lines == [f"WARNING series {number} was not queued" for number in range(SHOWN)]


def test_numbers_in_a_template_do_not_make_another_kind(log):
    for number in range(50):
        log.warn(f"can't connect from port {number}")
    assert len(log.lines) == SHOWN


def test_other_places_levels_and_errors_are_written(log):
    log.warn("failed")
    log.logger.error("failed")
    log.logger.warning("failed")
    for error in (OSError("a"), ValueError("b")):
        log.logger.error("raised", exc_info=error)
    firsts = [line for line in log.lines if line.startswith(("WARNING", "ERROR"))]
    assert firsts == ["WARNING failed", "ERROR failed", "WARNING failed", *["ERROR raised"] * 2]


def test_memory_is_bounded(log):
    for number in range(3 * MOST_KINDS):
        word = "".join(chr(97 + int(digit)) for digit in str(number))
        log.warn(f"kind {word}")
    assert len(log.lines) == 3 * MOST_KINDS
    assert len(log.handler._kinds) <= MOST_KINDS


def test_last_count_is_written_when_the_process_ends(log):
    log.warn("the bus is full")
    log.warn("the bus is full")
    log.handler.close()
    assert log.lines[1] == "WARNING repeated 1 times more in 0 s: the bus is full"


def test_thread_writes_the_end_by_itself(monkeypatch):
    monkeypatch.setattr(log_repeats, "QUIET_S", 0.0)
    log = Log()
    log.warn("the bus is full")
    log.warn("the bus is full")
    wait_until(lambda: len(log.lines) == 2, what="the end of the repeats")
    wait_until(lambda: log.handler._watch is None, what="the thread to end")


def test_fork_counts_by_itself():
    # Not in this process, whose other threads could leave a lock behind for ever.
    code = """
import os
from trade_canvas.tests.test_log_repeats import Log
log = Log()
for _ in range(2):
    log.warn("the bus is full")
if not (child := os.fork()):
    log.warn("the bus is full")
    print(log.handler._watch.is_alive(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=environment.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=patience(),
    )
    assert done.stdout == "True\n", done.stderr


def test_thread_ends_when_the_stream_is_closed(monkeypatch, capsys):
    monkeypatch.setattr(log_repeats, "QUIET_S", 0.0)
    log = Log()
    log.warn("the bus is full")
    log.warn("the bus is full")
    watch = log.handler._watch
    log.stream.close()
    wait_until(lambda: not watch.is_alive(), what="the thread to end")
    assert capsys.readouterr().err == ""
