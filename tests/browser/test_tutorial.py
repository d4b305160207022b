"""docs/tutorial.md, followed word by word in a checkout of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from lab.http import get
from lab.program import Program, inherited
from lab.waiting import patience, wait_until
from trade_canvas.embedded.server import free_port
from trade_canvas.environment import BASE_DIR

pytestmark = [pytest.mark.browser, pytest.mark.prove]

PAGE = BASE_DIR / "docs/tutorial.md"
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| ([A-Z][\w ]*) \| (.+) \|$", re.MULTILINE)
BUILT = (".venv", "frontend/node_modules", "frontend/dist", "staticfiles", "locale")
FACTOR = "factors/domain/close_run.py"


class Tutorial(NamedTuple):
    """The page's blocks and its table, with ports that are free here."""

    start: str
    read: str
    make: str
    test: str
    changes: list[str]
    events: str
    receiver: str
    receive: str
    rule: dict[str, str]
    ports: dict[str, int]

    @classmethod
    def of(cls, text, ports):
        for written, free in ports.items():
            text = text.replace(f":{written}", f":{free}").replace(f", {written})", f", {free})")
        languages, blocks = zip(*BLOCK.findall(text), strict=True)
        assert languages == ("sh", "sh", "sh", "sh", "diff", "diff", "sh", "python", "sh")
        start, read, make, test, *changes, events, receiver, receive = map(str.rstrip, blocks)
        rows = ROW.findall(text[text.index("add an alert rule") :])
        rule = {name: value.strip("`") for name, value in rows}
        return cls(start, read, make, test, changes, events, receiver, receive, rule, ports)


@pytest.fixture
def checkout(open_folder):
    """The files of this checkout, with what was built and installed."""
    root = open_folder / "checkout"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
        timeout=patience(30),
    )
    for name in filter(None, listed.stdout.splitlines()):
        if (BASE_DIR / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(BASE_DIR / name, root / name)
    for name in BUILT:
        if (BASE_DIR / name).exists() and not (root / name).exists():
            (root / name).symlink_to(BASE_DIR / name)
    return root


@pytest.fixture
def shell(checkout, tmp_path):
    """Runs a line of the page in the checkout, to its end."""

    def run(line):
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=checkout,
            env=inherited(),
            capture_output=True,
            text=True,
            timeout=patience(120),
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.fixture
def program(checkout, tmp_path):
    """Starts a line of the page in the checkout; what was started is ended in any case."""
    started = []

    def start(name, line, **variables):
        command = ["bash", "-c", f"cd {checkout} && exec env {line}"]
        log = tmp_path / f"{name}-{len(started)}.log"
        one = Program(name, command, {**inherited(), **variables}, log=log).start()
        started.append(one)
        return one

    yield start
    for one in started:
        if one.is_running:
            one.terminate(20)


def change(file: Path, diff: str) -> None:
    """Replace the lines of a block's former side by those of its new one."""
    lines = diff.splitlines()
    before, after = ("\n".join(each[1:] for each in lines if each[0] in f" {s}") for s in "-+")
    text = file.read_text()
    assert text.count(before) == 1, before
    file.write_text(text.replace(before, after))


def add_rule(browser, url, password, rule):
    """Fill in the admin's form as the table says."""
    context = browser.new_context(base_url=url, locale="en-GB")
    page = context.new_page()
    page.goto("/admin/factors/alertrule/add/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", password)
    page.click("[type=submit]")
    for label, value in rule.items():
        page.get_by_label(f"{label}:", exact=True).fill(value)
    page.click("[name=_save]")
    page.wait_for_selector(".messagelist .success")
    context.close()


def test_the_tutorial_can_be_followed(browser, checkout, shell, program, open_folder):
    ports = {"8000": free_port(), "9000": free_port()}
    page = Tutorial.of(PAGE.read_text(), ports)
    url = f"http://127.0.0.1:{ports['8000']}"
    given = {"PORT": str(ports["8000"]), "DATA_DIR": str(open_folder / "data")}

    first = program("up", page.start, **given)
    first.wait_for_line("Stop ", patience(120))
    (password,) = re.findall(r"user admin, password (\S+)", first.output())
    wait_until(lambda: '"candle_time"' in shell(page.read), 30, "candles")

    shell(page.make)
    shell(page.test)
    for diff in page.changes:
        change(checkout / FACTOR, diff)
    shell(page.test)
    first.terminate(20)

    second = program("up", page.start, **given)
    second.wait_for_line("Stop ", patience(120))
    wait_until(lambda: '"size"' in shell(page.events), 60, "events of the new factor")
    assert "close_run.mean" in str(get(f"{url}/api/factor/catalog")[1])

    (checkout / "receiver.py").write_text(page.receiver)
    receiver = program("receiver", page.receive)
    add_rule(browser, url, password, page.rule)
    wait_until(lambda: len(receiver.output().splitlines()) > 1, 60, "alerts")
    kind, time, size = receiver.output().splitlines()[0].split()
    assert kind == "close_run.run" and int(time) > 0 and float(size) > 0
