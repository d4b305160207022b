from __future__ import annotations

import pytest

pytest.register_assert_rewrite("factors.tests.ledgers", "overlays.tests.ledgers")

from factors.tests.recorded import recorded_factors  # noqa: E402
from overlays.tests.ledgers import stores  # noqa: E402  Its asserts show what differs.

__all__ = ["recorded_factors", "stores"]
