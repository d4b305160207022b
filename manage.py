#!/usr/bin/env python
"""Entry point of every command: ``manage.py help`` lists them, ``--version`` shows the version."""

from __future__ import annotations

import os
import sys

import django
from django.core.management import execute_from_command_line

from trade_canvas import __version__, environment

# They ignore what `up` last ran with: `up` decides it anew, the others run installations of
# their own.
WITHOUT_SAVED_ENVIRONMENT = ("up", "capacity")

if __name__ == "__main__":
    if "--version" in sys.argv[1:] or sys.argv[1:2] == ["version"]:
        print(f"trade_canvas {__version__} (Django {django.get_version()})")
        sys.exit()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trade_canvas.settings")
    if not set(sys.argv[1:2]) & set(WITHOUT_SAVED_ENVIRONMENT):
        environment.load(os.environ)
    execute_from_command_line(sys.argv)
