"""The runbook's steps one after the other: switch off, restart, check; then everything on again."""

from __future__ import annotations

import json
import time

from lab.drills.ground import DRILLS, STEADY_S, Drill, Ground, Watch
from lab.drills.steps import STEPS, Step
from lab.http import get
from lab.installation import Installation
from trade_canvas.switches import PREFIX

RESTART_S = 60.0


def all_on(installation: Installation) -> dict[str, str]:
    """Return every switch of the runbook's steps as on, as far as this server can have it."""
    names = {name for step in STEPS for name in step.switches if not step.special}
    whitelist = installation.directory / "whitelist.json"
    whitelist.write_text(json.dumps({"series_ids": list(installation.series)}))
    switches = {f"{PREFIX}{name}": "1" for name in sorted(names)}
    return {**switches, f"{PREFIX}WHITELIST_PATH": str(whitelist)}


def rollback(ground: Ground) -> None:
    """Take each step by itself, from the scaled-out state and back to it."""
    on = all_on(ground.installation)
    ground.installation.run_as(on)
    for step in STEPS:
        with ground.watched(f"switched off: {step.stop}") as watch:
            _take(step, ground.installation, watch, on)
        if not ground.outcomes[-1].is_clean:
            return
    # The drills after this one are of series that are followed themselves.
    ground.installation.run_as_made()


DRILLS["rollback"] = Drill("rollback", "every switch of the runbook turned off", rollback)


def _take(step: Step, installation: Installation, watch: Watch, on: dict[str, str]) -> None:
    before = _count(installation)
    off = {**on, **{f"{PREFIX}{name}": "0" for name in step.switches}}
    watch.begin_fault()
    began = time.monotonic()
    installation.run_as(off, one_process=step.one_process)
    whole_at = watch.crowd.wait_until_whole(RESTART_S, for_s=STEADY_S, after=began)
    watch.note(f"off and whole in {whole_at - began:.0f} s")
    _check(installation, watch, step)
    began = time.monotonic()
    installation.run_as(on)
    watch.end_fault()
    watch.note(f"back on in {time.monotonic() - began:.0f} s")
    watch.expect(_count(installation) >= before, "stored candles are gone")


def _check(installation: Installation, watch: Watch, step: Step) -> None:
    """Expect that it serves, and that what was switched off does not."""
    url = installation.webs[0].url
    watch.expect(get(f"{url}/readyz")[0] == 200, "not ready")
    for series in installation.series:
        status, page = get(f"{url}/api/market/candles?series_id={series}&limit=10")
        watch.expect(status == 200 and len(page["candles"]) == 10, f"no candles of {series}")
    for path in step.gone:
        watch.expect(get(url + path)[0] == 404, f"{path} still answers")


def _count(installation: Installation) -> int:
    return int(installation.sql("SELECT count(*) FROM candles")[0][0])
