"""The whole installation on one machine: servers and processes, started and stopped in order."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trade_canvas.embedded import EmbeddedServer, start_postgres, start_valkey
from trade_canvas.embedded.server import is_port_free
from trade_canvas.up.child import Child, ChildFailed
from trade_canvas.up.flow import wait_until_flowing, wait_until_listening, wait_until_ready
from trade_canvas.up.output import Output
from trade_canvas.up.plan import Plan, Program

SOURCE_TIMEOUT_S = 30.0
READY_TIMEOUT_S = 60.0
FLOW_TIMEOUT_S = 90.0
SERVER_CHECK_S = 1.0


class UpFailed(Exception):
    """The installation can't run; the message says why."""


class Installation:
    """Starts what the plan names and keeps it running until it is told to stop."""

    def __init__(self, plan: Plan, output: Output) -> None:
        self._plan = plan
        self._output = output
        self._stop = asyncio.Event()
        self._servers: list[EmbeddedServer] = []
        self._children: list[Child] = []
        self._sources: list[Child] = []

    async def run(self) -> None:
        """Run until SIGINT or SIGTERM; raise UpFailed when something gives up."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        work = asyncio.create_task(self._work())
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended_by_itself = work.done()
            work.cancel()
            await self._stop_all()
            stop.cancel()
            outcome = (await asyncio.gather(work, return_exceptions=True))[0]
        if ended_by_itself and isinstance(outcome, Exception):
            raise outcome

    async def _work(self) -> None:
        try:
            await self._start_servers()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_servers())
                self._sources = self._run_in(group, self._plan.sources)
                await self._prepare()
                await self._wait_for_sources()
                self._children += self._run_in(group, self._plan.programs)
                group.create_task(self._announce())
        except* ChildFailed as failed:
            raise UpFailed(str(failed.exceptions[0])) from None
        except* UpFailed as failed:
            raise failed.exceptions[0] from None

    async def _start_servers(self) -> None:
        starts: list[Callable[[Path], EmbeddedServer]] = []
        if self._plan.with_postgres:
            starts.append(start_postgres)
        if self._plan.with_valkey:
            starts.append(start_valkey)
        for start in starts:
            self._servers.append(await asyncio.to_thread(start, self._plan.data_dir))

    async def _prepare(self) -> None:
        child = self._child(self._plan.prepare)
        self._children.append(child)
        status = await child.run_once()
        if status:
            raise UpFailed(f"preparing the installation failed (status {status})")

    def _run_in(self, group: asyncio.TaskGroup, programs: Iterable[Program]) -> list[Child]:
        children = [self._child(program) for program in programs]
        for child in children:
            group.create_task(child.run())
        return children

    async def _wait_for_sources(self) -> None:
        """Ingest that begins before there is anything to ask would begin with failures."""
        if self._sources:
            await self._expect(
                wait_until_listening(self._plan.switches.sim_url),
                SOURCE_TIMEOUT_S,
                "the local exchange does not listen yet",
            )

    def _child(self, program: Program) -> Child:
        return Child(program, self._plan.environment, output=self._output)

    async def _keep_servers(self) -> None:
        while True:
            await asyncio.sleep(SERVER_CHECK_S)
            for server in self._servers:
                if not server.is_running():
                    await self._restart(server)

    async def _restart(self, server: EmbeddedServer) -> None:
        self._output.say(f"{server.name} ended; starts again")
        url = server.url
        await asyncio.to_thread(server.start)
        if server.url != url:
            raise UpFailed(f"{server.name}'s port was taken by another program; start again")

    async def _announce(self) -> None:
        await self._expect(
            wait_until_ready(self._plan.url), READY_TIMEOUT_S, "the web process is not ready yet"
        )
        if self._plan.switches.enable_whitelist_ingest:
            await self._expect(
                wait_until_flowing(self._plan.url),
                FLOW_TIMEOUT_S,
                f"no candles from {self._plan.exchange} yet: see the lines above for the reason",
            )
        url = self._plan.url
        rows = [("Page", url), ("API", f"{url}api/docs/")]
        if self._plan.switches.enable_pg_store:
            rows.append(("Admin", f"{url}admin/  (user admin)"))
        rows += [("Data, logs", str(self._plan.data_dir)), ("Stop", "Ctrl-C")]
        self._output.banner(rows)

    async def _expect(
        self, wait: Coroutine[Any, Any, object], timeout_s: float, complaint: str
    ) -> None:
        """Wait, and say so when it takes longer than it should; keep waiting then."""
        waiting = asyncio.ensure_future(wait)
        try:
            await asyncio.wait([waiting], timeout=timeout_s)
            if not waiting.done():
                self._output.say(f"{complaint} (after {timeout_s:g} s; still trying)")
            await waiting
        finally:
            waiting.cancel()

    async def _stop_all(self) -> None:
        """Stop readers and writers first, then what they need."""
        self._output.say("stopping")
        await asyncio.gather(*(child.stop() for child in self._children))
        await asyncio.gather(*(child.stop() for child in self._sources))
        for server in reversed(self._servers):
            await asyncio.to_thread(server.stop)
        self._output.say("stopped")


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Hold DATA_DIR for this `up`; raise UpFailed when another one does."""
    path = data_dir / "run" / "up.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UpFailed(f"already running on {data_dir} (process {file.read()})") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        with suppress(OSError):
            file.truncate(0)


def check_port(port: int) -> None:
    """Raise UpFailed when somebody listens on the port already."""
    if not is_port_free(port):
        raise UpFailed(f"port {port} is in use; choose another: make run PORT={port + 1}")
