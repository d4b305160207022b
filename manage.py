#!/usr/bin/env python
"""Entry point of every command: ``manage.py help`` lists them, ``--version`` shows the version."""

from __future__ import annotations

import os
import sys

import django

from trade_canvas import __version__, environment, failures

if __name__ == "__main__":
    if "--version" in sys.argv[1:] or sys.argv[1:2] == ["version"]:
        print(f"trade_canvas {__version__} (Django {django.get_version()})")
        sys.exit()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trade_canvas.settings")
    with failures.end_on_failure():
        if not environment.OWN_INSTALLATION.intersection(sys.argv[1:2]):
            environment.load(os.environ)
    failures.main(sys.argv)
