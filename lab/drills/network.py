"""Cut lines: what a broken network does to processes that all live."""

from __future__ import annotations

import time

from lab.drills.catalogue import drill
from lab.drills.ground import Ground

CUT_S = 30.0


@drill("cut-bus", "the bus cut off from every process for 30 s while it lives")
def cut_bus(ground: Ground, title: str) -> None:
    """Nothing is refused, nothing arrives: workers must go on writing, hubs reading the store."""
    lines = list(ground.installation.buses.values())
    with ground.watched(title) as watch:
        watch.hit()
        for line in lines:
            line.cut()
        time.sleep(CUT_S)
        for line in lines:
            line.heal()
        watch.over()


@drill("cut-web", "a web process cut off from bus and store for 30 s")
def cut_web(ground: Ground, title: str) -> None:
    """Its watchers are to find out, and to be served by the other one."""
    name = ground.installation.webs[0].name
    lines = (ground.installation.buses[name], ground.installation.stores[name])
    with ground.watched(title) as watch:
        watch.hit()
        for line in lines:
            line.cut()
        time.sleep(CUT_S)
        for line in lines:
            line.heal()
        watch.over()


@drill("cut-worker", "the worker that follows cut off from bus and store for 30 s")
def cut_worker(ground: Ground, title: str) -> None:
    """The other one takes over; what the first one writes afterwards is refused."""
    name = ground.installation.owner().name
    lines = (ground.installation.buses[name], ground.installation.stores[name])
    with ground.watched(title) as watch:
        watch.hit()
        for line in lines:
            line.cut()
        watch.over()
        time.sleep(CUT_S)
        for line in lines:
            line.heal()


@drill("cut-watchers", "the watchers cut off from every web process for 15 s")
def cut_watchers(ground: Ground, title: str) -> None:
    """Connections that hang and are given up, or wake again with all that waited in them."""
    with ground.watched(title) as watch:
        watch.hit()
        ground.installation.front.cut()
        time.sleep(CUT_S / 2)
        ground.installation.front.heal()
        watch.over()
