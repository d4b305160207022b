"""The code blocks of the docs: they run, or say with the word `not-run` that they don't.

JSON parses. Python compiles, and the blocks of a page run one after the other as one program.
Shell lines with curl are executed; of `manage.py` and `make` the arguments are checked. JavaScript
is parsed. Addresses lead to a web process of the test session, and series to one with candles.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from lab.http import post
from lab.waiting import patience
from tests.clients import NAMES
from tests.recordings import VECTORS, vector_candles

ROOT = Path(__file__).parents[1]
NODE = Path(sys.executable).with_name("node")
PAGES = sorted(
    path
    for pattern in ("README*.md", "CONTRIBUTING.md", "docs/**/*.md", "clients/*/README.md")
    for path in ROOT.glob(pattern)
)
BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = "not-run"
MOST_NOT_RUN = 12
# These are commands of root on a machine of its own: `make bare-machine` runs them there.
OF_A_MACHINE = "docs/bare-machine.md"
# Pages whose code a test of its own runs, and which.
RUN_ELSEWHERE = {
    ("docs/ws-protocol.md", "python"): "tests/test_ws_protocol_page.py",
    ("docs/ws-protocol.md", "js"): "tests/test_ws_protocol_page.py",
    ("docs/typescript-client.md", "js"): "tests/test_typescript_client.py",
    ("docs/python-client.md", "python"): "tests/test_python_client.py",
    ("docs/factor-events.md", "python"): "factors/api/tests/test_page_examples.py",
    ("docs/tutorial.md", "python"): "tests/browser/test_tutorial.py",
    ("docs/cookbook.md", "js"): "tests/test_typescript_client.py",
    ("docs/alerts.md", "python"): "factors/alerts/tests/test_webhook.py",
    ("docs/alerts.md", "js"): "factors/alerts/tests/test_webhook.py",
}
LANGUAGES = {"sh", "json", "python", "js", "ts", "sql", "yaml", "text", "mermaid", "nginx"}
LANGUAGES |= {"caddyfile", "diff", "toml"}
ADDRESS = re.compile(r"(?:http://)?(?:localhost|127\.0\.0\.1):8000")
SERIES = "binance:futures:DOCS/USDT:1m"
SHOWN = re.compile(r"\b(?:sim|binance):(?:futures|spot):BTC/USDT:1m\b")
TIME_SHOWN = 1780000020
PLACEHOLDERS = {"SERIES": SERIES, "TIME": str(TIME_SHOWN)}
SWITCHES = {"TRADE_CANVAS_ENABLE_CANDLE_EXPORT": "1", "TRADE_CANVAS_ENABLE_UDF": "1"}

# One process: imports of large libraries cost more than the programs do.
RUN_PAGES = """
import json
for page, program in json.load(open("pages.json", encoding="utf-8")).items():
    print(page, flush=True)
    exec(compile(program, page, "exec"), {"__name__": "__main__"})
"""


@dataclass(frozen=True, slots=True)
class Block:
    """A code block, with the words after its language."""

    page: str
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def runs(self) -> bool:
        """Whether it is to be run here."""
        return NOT_RUN not in self.words and (self.page, self.language) not in RUN_ELSEWHERE

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        language, *words = match[1].split() or [""]
        line = text.count("\n", 0, match.start()) + 1
        name = page.relative_to(ROOT).as_posix()
        found.append(Block(name, line, language, tuple(words), match[2]))
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def of_language(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages and block.page != OF_A_MACHINE]


@pytest.fixture(scope="module")
def web(session_stack):
    """A web process with the series that the pages show, up to the time that they ask for."""
    found = session_stack.web(**SWITCHES)
    rows = vector_candles("p1")[-600:]
    first = TIME_SHOWN - 60 * (len(rows) - 1)
    candles = [
        dict(zip(NAMES, (first + 60 * place, *row[1:]), strict=True))
        for place, row in enumerate(rows)
    ]
    batch = f"{found.url}/api/dev/market/ingest/candles_closed_batch"
    assert post(batch, {"series_id": SERIES, "candles": candles})[0] == 200
    yield found
    found.terminate()


def here(text: str, web) -> str:
    """A block with the address and the series of this test."""
    return SHOWN.sub(SERIES, ADDRESS.sub(web.url, text))


def test_every_block_has_a_known_language():
    assert len(BLOCKS) > 50
    assert [str(block) for block in BLOCKS if block.language not in LANGUAGES] == []
    words = {word for block in BLOCKS for word in block.words}
    assert words <= {NOT_RUN}


def test_code_that_runs_elsewhere_does():
    for (page, _), test in RUN_ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8"), page


def test_few_blocks_do_not_run():
    counted = Counter(block.language for block in BLOCKS if NOT_RUN in block.words)
    assert 0 < counted.total() <= MOST_NOT_RUN, counted


def test_data_of_the_pages_parses():
    for block in of_language("toml"):
        assert tomllib.loads(block.text), str(block)
    for block in of_language("yaml"):
        assert list(yaml.safe_load_all(block.text)), str(block)
    for block in of_language("json"):
        if not block.runs:
            continue
        try:
            json.loads(block.text)
        except json.JSONDecodeError:
            for line in block.text.splitlines():
                assert json.loads(line), (str(block), line)


def test_python_of_the_pages_compiles_and_runs(web, tmp_path):
    """One program for each page, so that a block may go on where the one before ended."""
    programs: dict[str, str] = {}
    for block in of_language("python"):
        compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if block.runs:
            text = here(block.text, web).replace("/tmp/", f"{tmp_path}/")
            programs[block.page] = programs.get(block.page, "") + text
    assert programs
    (tmp_path / "candles.csv").write_bytes((VECTORS / "p2.candles.csv").read_bytes())
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    (tmp_path / "pages.json").write_text(json.dumps(programs), encoding="utf-8")
    places = [str(ROOT), *(str(ROOT / "clients" / each) for each in ("python", "factors"))]
    done = subprocess.run(
        [sys.executable, "-c", RUN_PAGES],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        timeout=patience(100),
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-3000:]


def shell_lines() -> list[tuple[Block, list[str]]]:
    """The commands of shell blocks, with continued lines joined."""
    found = []
    for block in of_language("sh"):
        if block.runs:
            for line in block.text.replace("\\\n", " ").splitlines():
                if re.match(r"(curl|make|(\S*python )?manage\.py)\b", line.strip()):
                    found.append((block, shlex.split(line, comments=True)))
    return found


def test_shell_of_the_pages_is_well_formed():
    for block in of_language("sh"):
        done = subprocess.run(
            ["bash", "-n"], input=block.text, capture_output=True, text=True, timeout=patience(10)
        )
        assert done.returncode == 0, (str(block), done.stderr)


def test_curl_of_the_pages_is_answered(web, tmp_path):
    commands = [(block, words) for block, words in shell_lines() if words[0] == "curl"]
    assert len(commands) >= 5
    for block, words in commands:
        asked = ["curl", "--fail", "--silent", "--show-error", "--max-time", "30"]
        done = subprocess.run(
            [*asked, *(here(word, web) for word in words[1:] if word != "--fail")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=patience(40),
        )
        assert done.returncode == 0, (str(block), words, done.stdout, done.stderr)


def test_commands_of_the_pages_take_these_arguments():
    checked = 0
    for block, words in shell_lines():
        if "manage.py" not in words[0] and "manage.py" not in words[1:2]:
            continue
        name, *arguments = words[words.index("manage.py") + 1 :]
        ends = [arguments.index(word) for word in ("&&", "|") if word in arguments]
        arguments = arguments[: min(ends, default=None)]
        # What is in brackets may be left out.
        given = [word.strip("[]") for word in arguments]
        given = [PLACEHOLDERS.get(word, word) for word in given]
        assert name in get_commands(), str(block)
        if "--help" in given or name == "shell":
            continue
        app = get_commands()[name]
        command = load_command_class(app, name) if isinstance(app, str) else app
        try:
            command.create_parser("manage.py", name).parse_args(given)
        except SystemExit:
            pytest.fail(f"{block}: {name} {given}")
        checked += 1
    assert checked > 8


def test_targets_of_make_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+)\b[^:=\n]*:(?!=)", makefile, re.MULTILINE))
    for block, words in shell_lines():
        if words[0] == "make":
            asked = [word for word in words[1:] if "=" not in word]
            assert set(asked) <= targets, str(block)


def test_javascript_of_the_pages_parses_and_runs(web, tmp_path):
    scripts = of_language("js")
    assert scripts
    for number, block in enumerate(scripts):
        file = tmp_path / f"{number}.mjs"
        file.write_text(here(block.text, web), encoding="utf-8")
        command = [NODE, file] if block.runs else [NODE, "--check", file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience(30))
        assert done.returncode == 0, (str(block), done.stderr)
