"""The whole installation on one machine: servers and processes, started and stopped in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Iterable
from typing import Any

from trade_canvas.embedded import EmbeddedServer, start_postgres, start_valkey
from trade_canvas.up.child import Child, ChildFailed
from trade_canvas.up.flow import wait_until_flowing, wait_until_listening, wait_until_ready
from trade_canvas.up.output import Output
from trade_canvas.up.plan import Plan, Program

SOURCE_TIMEOUT_S = 30.0
READY_TIMEOUT_S = 60.0
FLOW_TIMEOUT_S = 90.0
SERVER_CHECK_S = 1.0


class UpFailed(Exception):
    """The installation can't run; the message is for the user."""


class Installation:
    """Starts what the plan names and keeps it running until it is stopped by a signal."""

    def __init__(self, plan: Plan, output: Output) -> None:
        self._plan = plan
        self._output = output
        self._environment = dict(plan.environment)
        self._stop = asyncio.Event()
        self._servers: list[EmbeddedServer] = []
        self._children: list[Child] = []
        self._sources: list[Child] = []

    async def run(self) -> None:
        """Run until SIGINT or SIGTERM; raise UpFailed when a part can't be kept running."""
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
            if self._plan.with_postgres:
                self._servers.append(await asyncio.to_thread(start_postgres, self._plan.data_dir))
                self._environment["DATABASE_URL"] = self._servers[-1].url
            if self._plan.with_valkey:
                self._servers.append(await asyncio.to_thread(start_valkey, self._plan.data_dir))
                self._environment["REDIS_URL"] = self._servers[-1].url
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_servers())
                self._sources = self._run_in(group, self._plan.sources)
                await self._prepare()
                if self._sources:
                    # Ingest would begin with failures if it began before the exchange listens.
                    await self._expect(
                        wait_until_listening(self._plan.switches.sim_url),
                        SOURCE_TIMEOUT_S,
                        "the local exchange does not listen yet",
                    )
                self._children += self._run_in(group, self._plan.programs)
                group.create_task(self._announce())
        except* ChildFailed as failed:
            raise UpFailed(str(failed.exceptions[0])) from None
        except* UpFailed as failed:
            raise failed.exceptions[0] from None

    async def _prepare(self) -> None:
        child = Child(self._plan.prepare, self._environment, output=self._output)
        self._children.append(child)
        status = await child.run_once()
        if status:
            raise UpFailed(f"preparing the installation failed (status {status})")

    def _run_in(self, group: asyncio.TaskGroup, programs: Iterable[Program]) -> list[Child]:
        children = [Child(each, self._environment, output=self._output) for each in programs]
        for child in children:
            group.create_task(child.run())
        return children

    async def _keep_servers(self) -> None:
        while True:
            await asyncio.sleep(SERVER_CHECK_S)
            for server in self._servers:
                if not server.is_running():
                    self._output.show(f"{server.name} ended; starting it again")
                    url = server.url
                    await asyncio.to_thread(server.start)
                    if server.url != url:
                        raise UpFailed(
                            f"{server.name}'s port was taken by another program; start again"
                        )

    async def _announce(self) -> None:
        plan = self._plan
        await self._expect(
            wait_until_ready(plan.url), READY_TIMEOUT_S, "the web process is not ready yet"
        )
        if plan.switches.enable_whitelist_ingest:
            await self._expect(
                wait_until_flowing(plan.url),
                FLOW_TIMEOUT_S,
                f"no candles from {plan.exchange} yet: see the lines above for the reason",
            )
        rows = [("Page", plan.url), ("API", f"{plan.url}api/docs/")]
        if plan.switches.enable_pg_store:
            rows.append(("Admin", f"{plan.url}admin/  (user admin)"))
        rows += [("Data, logs", str(plan.data_dir)), ("Stop", "Ctrl-C")]
        self._output.banner(rows)

    async def _expect(self, wait: Awaitable[Any], timeout_s: float, complaint: str) -> None:
        """Wait without limit; show the complaint once when it takes longer than `timeout_s`."""
        waiting = asyncio.ensure_future(wait)
        try:
            await asyncio.wait([waiting], timeout=timeout_s)
            if not waiting.done():
                self._output.show(f"{complaint} (after {timeout_s:g} s; still trying)")
            await waiting
        finally:
            waiting.cancel()

    async def _stop_all(self) -> None:
        """Stop readers and writers first, then what they need."""
        self._output.show("stopping")
        await asyncio.gather(*(child.stop() for child in self._children))
        await asyncio.gather(*(child.stop() for child in self._sources))
        for server in reversed(self._servers):
            await asyncio.to_thread(server.stop)
        self._output.show("stopped")
