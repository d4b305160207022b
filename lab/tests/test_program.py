from __future__ import annotations

import sys
import time

import pytest

from lab.program import LabFailed, Program, inherited

TICKS = """
import datetime, time
print("ready", flush=True)
while True:
    print(time.time(), datetime.datetime.now().timestamp(), flush=True)
    time.sleep(0.02)
"""


@pytest.fixture
def run(tmp_path):
    started = []

    def start(code, **more):
        more.setdefault("is_ready", lambda program: "ready" in program.output())
        command = [sys.executable, "-c", code]
        program = Program("ticker", command, inherited(), log=tmp_path / "ticker.log", **more)
        started.append(program.start())
        return program

    yield start
    for program in started:
        program.kill()


def lines_of(program):
    return program.output().splitlines()


def wait_for_more(program, count=3):
    wanted = len(lines_of(program)) + count
    program.wait_until(lambda: len(lines_of(program)) >= wanted)


def test_program_that_ends_by_itself_has_failed_until_its_end_was_expected(run):
    program = run("print('ready')")
    program.wait_ready()
    with pytest.raises(LabFailed, match="ticker ended:\nready"):
        program.wait_for_line("never printed")
    assert program.has_failed
    assert program.wait() == 0
    assert not program.has_failed


def test_terminated_program_starts_again_with_new_output(run):
    program = run(TICKS).wait_ready()
    first = program.pid
    wait_for_more(program)
    assert program.terminate() == -15
    assert not program.is_running
    assert not program.has_failed
    program.start(PYTHONUNBUFFERED="1").wait_ready()
    assert program.pid != first
    assert program.output().count("ready") == 1
    assert program.log.read_text().count("ready") == 2


def test_variables_of_a_start_stay_until_they_are_forgotten(run):
    program = run("import os\nprint('ready', os.environ.get('GIVEN'), flush=True)", is_ready=None)
    for variables, expected in (({"GIVEN": "x"}, "ready x"), ({}, "ready x")):
        program.wait()
        program.start(**variables).wait()
        assert lines_of(program) == [expected]
    program.forget_variables()
    program.start().wait()
    assert lines_of(program) == ["ready None"]


def test_paused_program_goes_on_after_resume(run):
    program = run(TICKS).wait_ready()
    program.pause()
    assert program.is_running
    program.resume()
    wait_for_more(program)


def test_paused_program_ends_when_it_is_terminated(run):
    program = run(TICKS).wait_ready()
    program.pause()
    assert program.terminate() == -15


def test_clock_of_a_program_can_be_put_off(run, tmp_path):
    program = run(TICKS, clock=tmp_path / "clock").wait_ready()
    program.set_clock(-1000.0)
    wait_for_more(program)
    for shown in map(float, lines_of(program)[-1].split()):
        assert 500 < time.time() - shown < 1500
    program.set_clock(0.0)
    wait_for_more(program)
    assert abs(time.time() - float(lines_of(program)[-1].split()[0])) < 500


def test_memory_and_open_files_of_a_program_are_read(run):
    program = run(f"open({__file__!r}); import time; print('ready', flush=True); time.sleep(60)")
    program.wait_ready()
    assert program.memory() > 1_000_000
    assert program.open_files() >= 3
