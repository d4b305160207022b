"""`manage.py local_exchange`: starts without a database, prints its URL, stops on a signal."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lab.waiting import patience
from market.local_exchange.tests.local_client import read

MANAGE = Path(__file__).parents[3] / "manage.py"
TIMEOUT_S = 20.0


@asynccontextmanager
async def command(*arguments):
    """The running command, killed if it is still there at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(MANAGE),
        "local_exchange",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(patience(TIMEOUT_S)):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def started(process):
    """The URL that the command prints."""
    line = (await process.stdout.readline()).decode()
    assert line.startswith("local exchange ready on http://127.0.0.1:"), line
    return line.split()[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_command_serves_until_a_signal(number):
    async with command("--port", "0", "--quiet") as process:
        url = await started(process)
        assert await read(url, "/api/v3/ping") == {}
        process.send_signal(number)
        output, errors = await process.communicate()
    assert (process.returncode, output, errors) == (0, b"", b"")


async def test_command_replays_a_recording_up_to_now(tmp_path):
    path = tmp_path / "recording.csv"
    lines = [f"{600_000 + 60 * n},{n + 1},{n + 3},{n},{n + 2},{n + 0.5}" for n in range(20)]
    path.write_text("candle_time,open,high,low,close,volume\n" + "\n".join(lines))
    replay = ("--replay", str(path), "--symbol", "XRP/ETH", "--market", "futures")
    async with command("--port", "0", *replay, "--shift-to-now") as process:
        url = await started(process)
        rows = await read(url, "/fapi/v1/klines", symbol="XRPETH", interval="1m")
        process.terminate()
        await process.wait()
    assert [float(row[1]) for row in rows[:10]] == [n + 1 for n in range(10)]
    assert abs(rows[-1][0] / 1000 - time.time()) < 120


async def test_command_names_what_is_wrong_with_a_recording(tmp_path):
    path = tmp_path / "recording.csv"
    path.write_text("hello\n")
    async with command("--port", "0", "--replay", str(path)) as process:
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"the header must be" in errors and b"Traceback" not in errors


async def test_command_starts_with_the_faults_it_is_given():
    faults = ('{"kind": "short_pages", "most": 3}', '{"kind": "quiet", "every": 2}')
    given = [part for fault in faults for part in ("--fault", fault)]
    async with command("--port", "0", "--quiet", *given) as process:
        url = await started(process)
        rows = await read(url, "/api/v3/klines", symbol="BTCUSDT", interval="1m", startTime=0)
        process.terminate()
        await process.wait()
    assert [row[0] - rows[0][0] for row in rows] == [0, 120_000, 240_000]


@pytest.mark.parametrize(("fault", "reason"), [("{", b"JSON"), ('{"kind": "quiet"}', b"needs")])
async def test_command_refuses_an_invalid_fault(fault, reason):
    async with command("--port", "0", "--fault", fault) as process:
        _, errors = await process.communicate()
    assert process.returncode != 0
    assert reason in errors and b"Traceback" not in errors
