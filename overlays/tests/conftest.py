from __future__ import annotations

from overlays.tests.ledgers import stores

__all__ = ["stores"]
