"""What is done on the machine: the page from top to bottom, and what must hold in between."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lab.bare_machine.machine import Machine
from lab.bare_machine.page import Page
from lab.bare_machine.repository import RELEASES, newest_migration
from lab.waiting import wait_until

# Caddy makes certificates for such names itself.
DOMAIN = "chart.localhost"
URL = f"https://{DOMAIN}"
REPOSITORY = "/srv/trade_canvas.git"
SERIES = "sim:futures:BTC/USDT:1s"
WATCH = "/srv/watch.py"
CERTIFICATES = "/srv/certificates.pem"
PYTHON = "/opt/trade_canvas/current/.venv/bin/python"
UNITS = (
    "trade_canvas-web@8001",
    "trade_canvas-web@8002",
    "trade_canvas-control",
    "trade_canvas-follower@1",
    "trade_canvas-worker@1",
    "trade_canvas-beat",
)
# systemd's rating of what a unit may do: 0 (nothing) to 10; below 4 counts as "ok".
MAX_EXPOSURE = 2.0
# A statement for each table, and psql runs what the first statement returns.
DIGESTS = """
SELECT format(
    'SELECT %L, count(*), md5(string_agg(md5(t::text), '''' ORDER BY md5(t::text))) FROM %I t',
    tablename, tablename)
FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename
\\gexec
"""


class Broken(Exception):
    """Something does not hold that the page promises."""


def expect(holds: object, what: str) -> None:
    """Raise Broken unless `holds`."""
    if not holds:
        raise Broken(what)


class Story:
    """The steps, in order; each uses the page's own commands."""

    def __init__(self, machine: Machine, page: Page, repository: Path) -> None:
        self.machine = machine
        self.page = page
        self.repository = repository

    def steps(self) -> tuple[Callable[[], str], ...]:
        """Return all steps; each returns its outcome in words."""
        return (
            self.packages,
            self.first_release,
            self.servers,
            self.start,
            self.limits,
            self.nginx,
            self.back_up,
            self.upgrade_and_go_back,
            self.restore,
            self.caddy,
        )

    def packages(self) -> str:
        """Packages, accounts and folders."""
        self.follow("Packages", online=True)
        self.follow("Accounts and folders")
        self.machine.run(f"echo '127.0.0.1 {DOMAIN}' >> /etc/hosts")
        self.machine.share(self.repository, REPOSITORY)
        self.machine.run(f"chown --recursive trade_canvas:trade_canvas {REPOSITORY}")
        return "installed"

    def first_release(self) -> str:
        """The program, as its first release."""
        self.build(RELEASES[0])
        return self.machine.run(f"cd /opt/trade_canvas/current && {PYTHON} --version").strip()

    def servers(self) -> str:
        """PostgreSQL, Redis and the settings; the local exchange stands in for a real one."""
        self.follow("PostgreSQL")
        self.follow("Redis")
        self.follow("Settings", DOMAIN=DOMAIN)
        # A limit that even a busy machine reaches (forge.py).
        self.set_variables(
            EXCHANGE="sim",
            TRADE_CANVAS_SIM_URL="http://127.0.0.1:8765",
            TRADE_CANVAS_API_REQUESTS_PER_S="20",
        )
        self.machine.run(
            "systemd-run --quiet --unit local_exchange --uid trade_canvas"
            " --setenv SECRET_KEY=of-the-local-exchange-only --setenv DATA_DIR=/tmp"
            " /opt/trade_canvas/current/deploy/bin/run python manage.py local_exchange"
        )
        return "running"

    def start(self) -> str:
        """The units, until candles of the exchange are stored."""
        self.follow("Start")
        self.follow("Start", 1)
        wait_until(lambda: self.candles() > 0, 60, "a first candle")
        self.machine.run(f"systemctl is-active {' '.join(UNITS)} postgresql-backup@15-main.timer")
        return f"{len(UNITS)} units active"

    def limits(self) -> str:
        """What systemd really enforces."""
        worst = 0.0
        for unit in UNITS:
            report = self.machine.run(f"systemd-analyze security --no-pager {unit}", check=False)
            found = re.search(r"Overall exposure level .*?: ([\d.]+)", report)
            expect(found, f"no rating of {unit}: {report[-500:]}")
            assert found is not None
            worst = max(worst, float(found[1]))
            facts = self.machine.run(f"systemctl show --property MainPID,MemoryMax,User {unit}")
            expect("User=trade_canvas" in facts, facts)
            expect(re.search(r"MemoryMax=\d+", facts), f"{unit} has no memory limit")
            pid = re.findall(r"MainPID=(\d+)", facts)[0]
            status = self.machine.run(f"cat /proc/{pid}/status; cat /proc/{pid}/cmdline")
            expect(re.search(r"NoNewPrivs:\s1", status), f"{unit} may gain privileges")
            expect(re.search(r"Seccomp:\s2", status), f"{unit} may call everything")
            expect(re.search(r"CapEff:\s0+\s", status), f"{unit} has capabilities")
        expect(worst <= MAX_EXPOSURE, f"exposure {worst}")
        verified = self.machine.run(
            "cd /etc/systemd/system && systemd-analyze verify --man=no trade_canvas*.service"
            " trade_canvas.target postgresql-backup@15-main.service postgresql-backup@15-main.timer"
        )
        expect(not verified.strip(), verified)
        self.secrets_are_hidden()
        return f"exposure {worst} of 10 at most"

    def secrets_are_hidden(self) -> None:
        """No secret in a process's arguments, and none that the service's account can read."""
        secrets = self.machine.run(
            "sed -n 's/^\\(SECRET_KEY\\|TRADE_CANVAS_METRICS_TOKEN\\|ADMIN_PASSWORD\\)=//p'"
            " /etc/trade_canvas/environment /etc/trade_canvas/admin;"
            " sed -n 's/^requirepass //p' /etc/redis/trade_canvas.conf"
        ).split()
        expect(len(secrets) == 4, "the page does not make four secrets")
        arguments = self.machine.run("cat /proc/[0-9]*/cmdline 2> /dev/null | tr '\\0' ' '")
        expect(not any(each in arguments for each in secrets), "a secret is in arguments")
        for path in ("/etc/trade_canvas/environment", "/etc/redis/trade_canvas.conf"):
            reading = f"runuser --user trade_canvas -- cat {path}"
            expect("denied" in self.machine.run(reading, check=False), f"{path} is readable")

    def nginx(self) -> str:
        """TLS, HTTP and WebSockets through nginx."""
        self.follow("nginx", DOMAIN=DOMAIN)
        self.follow("nginx", 1, DOMAIN=DOMAIN)
        self.machine.run(f"cp /etc/trade_canvas/tls/fullchain.pem {CERTIFICATES}")
        return self.proxy_works()

    def caddy(self) -> str:
        """The same through Caddy."""
        self.follow("Caddy instead", online=True, DOMAIN=DOMAIN)
        self.follow("Caddy instead", 1, DOMAIN=DOMAIN)
        root = "/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"
        wait_until(lambda: "BEGIN" in self.machine.run(f"cat {root}", check=False), 30, "Caddy")
        self.machine.run(f"cp {root} {CERTIFICATES}")
        return self.proxy_works()

    def proxy_works(self) -> str:
        """What every proxy must do; watchers see each candle once."""
        wait_until(lambda: self.status("/readyz") == "200", 30, "the proxy")
        redirect = self.machine.run(f"curl -sSI http://{DOMAIN}/admin/")
        expect(re.search(rf"(?i)location: {URL}/admin/", redirect), redirect)
        page = self.curl("/", "--include")
        expect("strict-transport-security" in page.lower(), f"no HSTS: {page[:800]}")
        asset = re.findall(r"/static/assets/[^\"]+\.js", page)[0]
        head = self.curl(asset, "--head --header 'Accept-Encoding: gzip'").lower()
        for part in ("200", "immutable", "content-encoding: gzip", "nosniff"):
            expect(part in head, f"{part} is not in {head}")
        expect(self.status("/metrics") == "404", "/metrics is public")
        self.machine.run("head -c 10000000 /dev/zero > /tmp/body")
        posted = "--data-binary @/tmp/body --header 'Content-Type: application/json'"
        # 413, or 401 from a server that does not read the body of a stranger.
        taken = self.status("/api/market/ingest/candle_closed", posted)
        expect(taken.startswith("4"), f"10 MB are answered with {taken}")
        watching = self.watch()
        time.sleep(5)
        result = self.watched(watching)
        expect(result["connections"] == 1 and result["refused"] == 0, f"watched: {result}")
        expect(result.get("candle_forming"), f"no forming candle: {result}")
        forged = f"{PYTHON} /srv/forge.py {URL} {CERTIFICATES}"
        self.machine.share(Path(__file__).with_name("forge.py"), "/srv/forge.py")
        limited = int(self.machine.run(forged))
        expect(limited, "a client that forges X-Forwarded-For has no limit")
        url = f"/api/market/candles?series_id={SERIES}&limit=1"
        wait_until(lambda: self.status(url) == "200", 30, "the limit to pass")
        time.sleep(5)
        return f"{result['candles']} candles, lost 0; forged address limited"

    def back_up(self) -> str:
        """A base backup, a logical copy, and a look at the archive."""
        reported = self.follow("Back up")
        made = re.search(r"^made (\S+); WAL is kept from", reported, re.M)
        expect(made, reported)
        self.follow("Back up", 1)
        listed = self.machine.run("pg_restore --list /var/backups/trade_canvas/trade_canvas.dump")
        expect("TABLE DATA public candles" in listed, listed)
        self.sql("SELECT pg_switch_wal()")
        archive = "SELECT archived_count > 0 AND last_failed_time IS NULL FROM pg_stat_archiver"
        wait_until(lambda: self.sql(archive) == "t", 30, "an archived WAL file")
        self.follow("Back up", 2)
        return f"{listed.count('TABLE DATA')} tables, base backup verified"

    def upgrade_and_go_back(self) -> str:
        """A rolling upgrade with a migration, and back, under a watcher and a reader."""
        watching = self.watch()
        self.build(RELEASES[1])
        self.follow("Upgrade")
        upgraded = self.machine.run("trade_canvas-manage showmigrations market")
        expect(f"[X] {newest_migration(self.repository, RELEASES[1])}" in upgraded, upgraded)
        self.serves(RELEASES[1])
        before = newest_migration(self.repository, RELEASES[0])
        self.follow("Go back", MIGRATION=before)
        self.follow("Go back", 1, PREVIOUS=RELEASES[0])
        self.serves(RELEASES[0])
        time.sleep(5)
        result = self.watched(watching)
        expect(result["refused"] == 0, f"refused meanwhile: {result}")
        return f"{result['candles']} candles, {result['answers']} answers, refused 0, lost 0"

    def serves(self, release: str) -> None:
        """Every process runs the code of this release, and of no other."""
        for unit in UNITS:
            pid = self.machine.run(f"systemctl show --property MainPID --value {unit}").strip()
            folder = self.machine.run(f"readlink /proc/{pid}/cwd").strip()
            expect(folder == f"/opt/trade_canvas/releases/{release}", f"{unit} runs {folder}")

    def restore(self) -> str:
        """A restore to the moment before a deletion gives the same rows."""
        self.machine.run("systemctl stop trade_canvas.target")
        wait_until(lambda: "active" not in self.states(), 60, "the units to stop")
        before = self.digests()
        moment = self.sql("SELECT clock_timestamp()")
        self.machine.run("sleep 2; systemctl start trade_canvas.target")
        stored = self.candles()
        wait_until(lambda: self.candles() > stored, 60, "another candle")
        self.sql("DELETE FROM candles; DELETE FROM whitelist; UPDATE series SET epoch = 99")
        expect(self.digests() != before, "nothing was deleted")
        chosen = self.page.block("Restore to a moment", MOMENT=moment)
        self.machine.run(chosen + self.page.block("Restore to a moment", 1))
        after = self.digests()
        changed = sorted(set(before.splitlines()) ^ set(after.splitlines()))
        expect(not changed, f"tables differ: {changed}")
        self.follow("Restore to a moment", 2)
        wait_until(lambda: self.candles() > stored, 60, "candles after the restore")
        watching = self.watch()
        self.follow("Restore to a moment", 3)
        self.machine.run(f"trade_canvas-manage verify {SERIES}")
        result = self.watched(watching)
        return f"{len(before.splitlines())} tables equal; {result['candles']} candles since, lost 0"

    # What the steps have in common

    def follow(self, section: str, number: int = 0, *, online: bool = False, **values: str) -> str:
        """Run one block of the page."""
        return self.machine.run(self.page.block(section, number, **values), online=online)

    def build(self, release: str) -> None:
        """Build a release as the page does."""
        address = f"file://{REPOSITORY}"
        self.follow("The program", online=True, REPOSITORY=address, RELEASE=release)

    def set_variables(self, **values: str) -> None:
        """Change the settings of all processes; they apply to what starts from now on."""
        path = "/etc/trade_canvas/environment"
        for name, value in values.items():
            self.machine.run(f"sed -i '/^{name}=/d' {path}; echo '{name}={value}' >> {path}")

    def sql(self, statement: str) -> str:
        """Run SQL as the database's owner and return its output."""
        self.machine.put("/srv/statement.sql", statement)
        quiet = "psql --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 trade_canvas"
        return self.machine.run(f"runuser --user postgres -- {quiet} < /srv/statement.sql").strip()

    def digests(self) -> str:
        """Return number and checksum of the rows of every table."""
        return self.sql(DIGESTS)

    def candles(self) -> int:
        """Return how many candles of SERIES are stored."""
        joined = "candles JOIN series ON series.id = candles.series_id"
        return int(self.sql(f"SELECT count(*) FROM {joined} WHERE name = '{SERIES}'"))

    def states(self) -> set[str]:
        """Return the states of all units."""
        return set(self.machine.run(f"systemctl is-active {' '.join(UNITS)}", check=False).split())

    def curl(self, path: str, options: str = "") -> str:
        """Return what the proxy answers."""
        return self.machine.run(f"curl -sS --cacert {CERTIFICATES} {options} '{URL}{path}'")

    def status(self, path: str, options: str = "") -> str:
        """Return the status with which the proxy answers; empty without an answer."""
        asked = f"-o /dev/null -w '%{{http_code}}' {options}"
        command = f"curl -s --cacert {CERTIFICATES} {asked} '{URL}{path}'"
        return self.machine.run(command, check=False)

    def watch(self) -> subprocess.Popen[str]:
        """Start a watcher of SERIES, and wait until it has a candle."""
        self.machine.share(Path(__file__).with_name("watch.py"), WATCH)
        # Under the interpreter of a release that stays.
        python = f"/opt/trade_canvas/releases/{RELEASES[0]}/.venv/bin/python"
        self.machine.run("rm -f /srv/watching")
        watching = self.machine.start_program(f"{python} {WATCH} {URL} {SERIES} {CERTIFICATES}")
        ready = "cat /srv/watching"
        wait_until(
            lambda: self.machine.run(ready, check=False).strip().isdigit(),
            30,
            "a watcher's first candle",
        )
        return watching

    def watched(self, watching: subprocess.Popen[str]) -> dict[str, int]:
        """End a watcher and return its result; raises Broken if candles are missing."""
        self.machine.run("kill -TERM $(cat /srv/watching)")
        output, _ = watching.communicate(timeout=60)
        result: dict[str, int] = json.loads(output)
        for each in ("lost", "duplicated", "out_of_order"):
            expect(result[each] == 0, f"{each}: {result}")
        expect(result["candles"] > 1, f"no candles: {result}")
        return result


def run(story: Story) -> int:
    """Run every step and print its outcome; return the exit status."""
    for step in story.steps():
        begun = time.monotonic()
        print(f"{step.__name__.replace('_', ' ')} …", flush=True)
        outcome = step()
        print(f"    {outcome} ({time.monotonic() - begun:.0f} s)", flush=True)
    if story.page.left:
        print(f"not followed: {', '.join(story.page.left)}", file=sys.stderr)
        return 1
    return 0
