#!/usr/bin/env python
"""The developer's door to trade_canvas: ``manage.py help`` lists every command."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

from trade_canvas import environment

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trade_canvas.settings")
    if sys.argv[1:2] not in (["up"], ["capacity"]):
        # `up` decides anew and writes what the others take as defaults; `capacity` has an
        # installation of its own.
        environment.load(os.environ)
    execute_from_command_line(sys.argv)
