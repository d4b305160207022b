from __future__ import annotations

from lab.drills.ground import SWITCHES
from trade_canvas.checks import errors
from trade_canvas.switches import Switches


def test_switches_of_the_drills_pass_the_start_checks(settings):
    settings.SECRET_KEY = SWITCHES["SECRET_KEY"]
    settings.SWITCHES = Switches.from_environment(SWITCHES)
    settings.ALLOWED_HOSTS = ["localhost"]
    assert errors(SWITCHES) == []
