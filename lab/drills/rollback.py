"""The runbook's steps one after the other: switch off, restart, look; then all on again."""

from __future__ import annotations

import json
import time

from lab.capacity.topology import get
from lab.drills.catalogue import drill
from lab.drills.ground import STEADY_S, Ground, Watch
from lab.drills.installation import Installation
from lab.drills.steps import STEPS, Step
from trade_canvas.switches import PREFIX

RESTART_TIMEOUT_S = 180.0


def all_on(installation: Installation) -> dict[str, str]:
    """Every switch of the runbook's steps on, as far as this server can have it."""
    names = {name for step in STEPS for name in step.switches if not step.special}
    whitelist = installation.folder / "whitelist.json"
    whitelist.write_text(json.dumps({"series_ids": list(installation.series)}))
    switches = {f"{PREFIX}{name}": "1" for name in sorted(names)}
    return {**switches, f"{PREFIX}WHITELIST_PATH": str(whitelist)}


def off(step: Step) -> dict[str, str]:
    """The switches of a step as the runbook sets them."""
    return {f"{PREFIX}{name}": "0" for name in step.switches}


@drill("rollback", "every switch of the runbook turned off")
def rollback(ground: Ground, title: str) -> None:
    """Each step by itself, from the scaled-out state and back to it."""
    on = all_on(ground.installation)
    ground.installation.run_as(on)
    for step in STEPS:
        _take(step, ground, on)
        if not ground.outcomes[-1].is_clean:
            return


def _take(step: Step, ground: Ground, on: dict[str, str]) -> None:
    installation = ground.installation
    before = installation.count()
    with ground.watched(f"switched off: {step.stop}") as watch:
        watch.hit()
        _restart(installation, watch, {**on, **off(step)}, one_process=step.one_process)
        _look(installation, watch, step)
        began = time.monotonic()
        installation.run_as(on)
        watch.over()
        watch.note(f"back on in {time.monotonic() - began:.0f} s")
        watch.expect(installation.count() >= before, "stored candles are gone")


def _restart(
    installation: Installation, watch: Watch, switches: dict[str, str], *, one_process: bool
) -> None:
    began = time.monotonic()
    installation.run_as(switches, one_process=one_process)
    whole_at = watch.crowd.wait_until_whole(RESTART_TIMEOUT_S, for_s=STEADY_S, after=began)
    watch.note(f"off and whole in {whole_at - began:.0f} s")


def _look(installation: Installation, watch: Watch, step: Step) -> None:
    """The service is there, and what was switched off is not."""
    url = installation.webs[0].url
    watch.expect(get(f"{url}/readyz")[0] == 200, "not ready")
    for series in installation.series:
        status, page = get(f"{url}/api/market/candles?series_id={series}&limit=10")
        watch.expect(status == 200 and len(page["candles"]) == 10, f"no candles of {series}")
    for path in step.gone:
        watch.expect(get(url + path)[0] == 404, f"{path} still answers")
