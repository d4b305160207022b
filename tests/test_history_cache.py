"""nginx keeps chunks of history by itself, with the lines of deploy/nginx."""

from __future__ import annotations

import gzip
import os
import re
import shutil
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from lab.http import post
from lab.program import Program
from lab.waiting import patience
from trade_canvas.embedded.server import free_port
from trade_canvas.environment import BASE_DIR
from trade_canvas_client.history import candles, decode

SERIES = "sim:futures:CACHED/USDT:1m"
QUERY = f"series_id={quote(SERIES, safe='')}"
CANDLES = 2 * 2048 + 10
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")

CONFIGURATION = """
daemon off;
{user}
error_log stderr;
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/temporary;
    {cache}
    upstream trade_canvas {{ server {web}; }}
    server {{
        listen 127.0.0.1:{port};
        proxy_set_header Host $host;
        add_header X-Cache $upstream_cache_status always;
        {locations}
        location / {{ proxy_pass http://trade_canvas; }}
    }}
}}
"""


@pytest.fixture(scope="module")
def web(shared_stack):
    """A web process with candles of three cells."""
    process = shared_stack.web()
    times = range(0, 60 * CANDLES, 60)
    prices = {"open": 10.5, "high": 12, "low": 9, "close": 11}
    rows = [{"candle_time": each, **prices, "volume": each / 8} for each in times]
    body = {"series_id": SERIES, "candles": rows}
    status, answer = post(f"{process.url}/api/dev/market/ingest/candles_closed_batch", body)
    assert status == 200, answer
    return process


@pytest.fixture
def nginx(web, tmp_path_factory):
    """nginx in front of it, with an empty cache and the locations of the file that is deployed."""
    if NGINX is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("nginx is not installed")
    folder = tmp_path_factory.mktemp("nginx")
    deployed = (BASE_DIR / "deploy" / "nginx" / "trade_canvas.conf").read_text()
    (cache,) = re.findall(r"^proxy_cache_path .*?;", deployed, re.M | re.S)
    locations = re.findall(
        r"^    location [= ]*/api/market/history.*?^    \}", deployed, re.M | re.S
    )
    assert len(locations) == 2
    port = free_port()
    (folder / "nginx.conf").write_text(
        CONFIGURATION.format(
            folder=folder,
            # Another account could not write into the folder.
            user="user root;" if os.getuid() == 0 else "",
            cache=cache.replace("/var/cache/trade_canvas", f"{folder}/cache"),
            web=web.url.removeprefix("http://"),
            port=port,
            locations="".join(locations),
        )
    )
    url = f"http://127.0.0.1:{port}"
    program = Program(
        "nginx",
        [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")],
        {},
        log=folder / "nginx.log",
        url=url,
        is_ready=lambda self: read(f"{url}/healthz")[0] == 200,
    )
    program.start()
    try:
        program.wait_ready()
        yield url
    finally:
        program.terminate()


def read(address, **headers):
    try:
        with urlopen(Request(address, headers=headers), timeout=patience(10)) as answer:
            return answer.status, answer.headers, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.headers, error.read()
    except OSError:
        return 0, {}, b""


def chunk_names(url):
    found = list(re.findall(rb'"name":"([^"]+)"', read(f"{url}/api/market/history?{QUERY}")[2]))
    return [name.decode() for name in found]


def test_nginx_keeps_chunks(nginx, web):
    names = chunk_names(nginx)
    assert len(names) == 2
    address = f"{nginx}/api/market/history/{names[0]}?{QUERY}"
    first, again = read(address), read(address)
    assert (first[1]["X-Cache"], again[1]["X-Cache"]) == ("MISS", "HIT")
    assert again[2] == first[2]
    assert len(decode(again[2])) == 2048
    assert again[1]["Cache-Control"] == "public, max-age=31536000, immutable"


def test_the_index_is_always_the_servers(nginx):
    address = f"{nginx}/api/market/history?{QUERY}"
    status, headers, _ = read(address)
    assert (status, headers["X-Cache"]) == (200, None)
    assert read(address, **{"If-None-Match": headers["ETag"]})[0] == 304


def test_nginx_keeps_each_coding(nginx):
    address = f"{nginx}/api/market/history/{chunk_names(nginx)[1]}?{QUERY}"
    plain = read(address)[2]
    kinds = [read(address, **{"Accept-Encoding": each}) for each in ("gzip", "identity", "gzip")]
    assert [headers["X-Cache"] for _, headers, _ in kinds] == ["MISS", "HIT", "HIT"]
    assert [headers["Content-Encoding"] for _, headers, _ in kinds] == ["gzip", None, "gzip"]
    assert gzip.decompress(kinds[2][2]) == kinds[1][2] == plain


def test_nginx_keeps_no_refusal(nginx):
    address = f"{nginx}/api/market/history/0-{'0' * 24}?{QUERY}"
    for _ in range(2):
        status, headers, _ = read(address)
        assert (status, headers["X-Cache"]) == (404, "MISS")


def test_the_python_client_reads_through_nginx(nginx):
    rows = list(candles(nginx, SERIES))
    assert [row[0] for row in rows] == list(range(0, 60 * CANDLES, 60))
    assert rows[-1] == (60 * (CANDLES - 1), 10.5, 12.0, 9.0, 11.0, 60 * (CANDLES - 1) / 8)
