"""clients/typescript as other programs install it, in Node.js against real processes."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.clients import Client
from trade_canvas.environment import BASE_DIR

CLIENT = BASE_DIR / "clients" / "typescript"
FRONTEND = BASE_DIR / "frontend"
NODE = str(Path(sys.executable).with_name("node"))
NPM = str(Path(sys.executable).with_name("npm"))

READ = """
import { writeFileSync } from "node:fs";
import { Client } from "trade-canvas-client";
const [server, series, file] = process.argv.slice(2);
const client = new Client(server);
const range = { start: 600, end: 60000 };
const kinds = ["pivot.major", "pen.confirmed"];
writeFileSync(file, JSON.stringify({
  candles: (await client.candles(series, range)).candles,
  events: (await client.events(series, { ...range, kinds })).events,
  features: await client.features(series, range),
  frame: await client.frame(series, 60000),
}));
"""
TYPED = """
import { ApiError, Client, type Candle, type Cursor, type FollowEvent } from "trade-canvas-client";
const client = new Client("http://127.0.0.1:8000", { timeoutMs: 1000 });
const { candles, cursor }: { candles: readonly Candle[]; cursor: Cursor } =
  await client.candles("a:b:c:1m", { start: 0 });
for await (const event of client.follow("a:b:c:1m", cursor)) {
  const seen: FollowEvent = event;
  if (seen.type === "gap") console.log(seen.missing, candles.length, ApiError.name);
  // @ts-expect-error Only candles have a cursor.
  if (seen.type === "gap") console.log(seen.cursor);
}
"""


def row(time, close=1.5):
    return (time, 1.0, 2.0, 0.5, close, 10.0)


def post(web, series, *candles):
    async def posted():
        async with Client(web.url) as client:
            await client.ingest_batch(series, list(candles))

    asyncio.run(posted())


def asked(web, path, **query):
    async def answered():
        async with Client(web.url) as client:
            return await client.get(path, **query)

    return asyncio.run(answered())


@pytest.fixture(scope="module")
def installed_client(tmp_path_factory, built_client):
    """A folder with the package installed, as `npm pack` makes it."""
    folder = tmp_path_factory.mktemp("package")
    command = [NPM, "pack", "--silent", "--pack-destination", str(folder)]
    subprocess.run(command, cwd=CLIENT, check=True)
    (packed,) = folder.glob("trade-canvas-client-*.tgz")
    modules = folder / "node_modules"
    with tarfile.open(packed) as archive:
        archive.extractall(modules, filter="data")
    (modules / "package").rename(modules / "trade-canvas-client")
    return folder


def test_package_has_the_built_client_and_nothing_else(installed_client):
    root = installed_client / "node_modules" / "trade-canvas-client"
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert {each for each in files if not each.startswith("dist/types/")} == {
        "package.json",
        "README.md",
        "LICENSE",
        "dist/trade-canvas-client.js",
    }
    assert "dist/types/index.d.ts" in files
    assert all(each.endswith(".d.ts") for each in files if each.startswith("dist/types/"))


def test_docs_show_the_example_that_is_tested():
    example = (CLIENT / "examples" / "follow.mjs").read_text()
    code = "".join(line for line in example.splitlines(keepends=True) if line[:2] != "//")
    assert f"```js\n{code}```" in (BASE_DIR / "docs" / "typescript-client.md").read_text()
    assert len(example.splitlines()) <= 20


def test_package_is_typed_for_strict_programs(installed_client):
    (installed_client / "typed.mts").write_text(TYPED)
    options = {"strict": True, "noEmit": True, "module": "nodenext", "target": "es2022"}
    options |= {"lib": ["es2023", "dom"], "types": []}
    project = {"compilerOptions": options, "files": ["typed.mts"]}
    (installed_client / "tsconfig.json").write_text(json.dumps(project))
    tsc = FRONTEND / "node_modules" / ".bin" / "tsc"
    done = subprocess.run(
        [NODE, str(tsc.resolve())],
        cwd=installed_client,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_javascript_of_the_cookbook_runs(installed_client, session_stack, shared_web):
    series = "binance:futures:TSCOOK/USDT:1m"
    post(shared_web, series, *[row(60 * n) for n in range(1, 100)])
    page = (BASE_DIR / "docs" / "cookbook.md").read_text()
    blocks = re.findall(r"^```js\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 7
    text = "".join(blocks).replace("http://127.0.0.1:8000", shared_web.url)
    text = text.replace("sim:futures:BTC/USDT:1m", series)
    # What it followed stays connected.
    program = installed_client / "cookbook.mjs"
    program.write_text(f"{text}client.close();\nconsole.log(candles.length);\n")
    run = session_stack.start("cookbook", [NODE, str(program)])
    assert run.wait() == 0, run.output()
    assert run.output().splitlines()[-1] == "99"


def test_reads_what_the_server_has(installed_client, session_stack, shared_web):
    series = "binance:futures:TSREAD/USDT:1m"
    prices = [1000 + abs(n % 200 - 100) for n in range(1000)]
    post(
        shared_web,
        series,
        *[(60 * n, p, p + 1, p - 1, p + 0.5, 3) for n, p in enumerate(prices, 1)],
    )
    (installed_client / "read.mjs").write_text(READ)
    found = installed_client / "found.json"
    command = [NODE, str(installed_client / "read.mjs"), shared_web.url, series, str(found)]
    program = session_stack.start("read", command)
    assert program.wait() == 0, program.output()
    found = json.loads(found.read_text())
    query = {"series_id": series, "from": 600, "to": 60000, "kinds": "pivot.major,pen.confirmed"}
    stored = asked(shared_web, "/api/market/candles", series_id=series, since=599, limit=5000)
    assert found["candles"] == stored["candles"]
    assert len(found["candles"]) == 991
    assert found["events"] == asked(shared_web, "/api/factor/events", **query)["events"]
    assert len(found["events"]) >= 6
    query = {"series_id": series, "from": 600, "to": 60000, "limit": 5000}
    features = asked(shared_web, "/api/factor/features", **query)
    assert found["features"]["candleTimes"] == features["candle_time"]
    assert found["features"]["columns"] == features["columns"]
    assert any(found["features"]["columns"]["pen_confirmed_count"])
    frame = asked(shared_web, "/api/frame/at_time", series_id=series, at_time=60000)
    assert found["frame"]["factors"] == frame["factor_slices"]["snapshots"]
    assert found["frame"]["drawings"]["activeIds"] == frame["draw_state"]["active_ids"]


def test_follows_through_gap_revision_and_a_killed_web_process(installed_client, session_stack):
    series = "binance:futures:TSFOLLOW/USDT:1m"
    web = session_stack.web()
    post(web, series, row(60), row(120), row(180))
    example = installed_client / "follow.mjs"
    example.write_text((CLIENT / "examples" / "follow.mjs").read_text())
    program = session_stack.start("follow", [NODE, str(example), web.url, series])
    program.wait_for_line("live")
    post(web, series, row(300))
    program.wait_for_line("300 1.5")
    post(web, series, row(120, close=1.7))
    program.wait_for_line("120 1.7")
    web.kill()
    program.wait_for_line("reconnecting")
    web.start().wait_ready()
    # What happened while it was away: a revision, and new candles.
    post(web, series, row(60, close=1.9), row(360), row(420))
    program.wait_for_line("420 1.5")
    program.wait_for_line("60 1.9")
    program.kill()
    web.terminate()
    lines = [
        line
        for line in program.output().splitlines()
        if re.fullmatch(r"(gap |revised )?[\d. ]+", line)
    ]
    live = ["60 1.5", "120 1.5", "180 1.5", "gap 240 300", "300 1.5"]
    live += ["revised 120", "120 1.7", "180 1.5", "gap 240 300", "300 1.5"]
    assert lines[: len(live)] == live
    kept = {}
    for line in lines:
        time, close = line.split()[-2:]
        if not line.startswith(("gap", "revised")):
            kept[int(time)] = float(close)
    assert kept == {60: 1.9, 120: 1.7, 180: 1.5, 300: 1.5, 360: 1.5, 420: 1.5}
    assert lines.count("420 1.5") + lines.count("revised 60") >= 2
