"""The factors with which tests run: the project's own, and those that `make test-foreign` adds."""

from __future__ import annotations

import os

from factors.domain.registered import registered

FOREIGN = os.environ.get("TRADE_CANVAS_FOREIGN_FACTORS", "")
INSTANCES = os.environ.get("TRADE_CANVAS_FACTOR_INSTANCES", "")
INSTALLED = registered(foreign=FOREIGN, instances=INSTANCES)
FACTORS = INSTALLED.factors
