"""How many examples a property is tried with: few in the suite, many in the long proof.

TEST_PROFILE chooses: `suite` (the default) or `thorough` (`make prove`).
"""

from __future__ import annotations

import os

import hypothesis

PROFILES = {"suite": 60, "thorough": 1000}
PROFILE = os.environ.get("TEST_PROFILE") or "suite"
IS_THOROUGH = PROFILE == "thorough"
FUZZ_EXAMPLES = 200 if IS_THOROUGH else 4


def load_profile() -> None:
    """Make the chosen number of examples the default of every property."""
    # Any example may be slow on a busy machine.
    hypothesis.settings.register_profile("chosen", max_examples=PROFILES[PROFILE], deadline=None)
    hypothesis.settings.load_profile("chosen")


def examples(share: float, **options: object) -> hypothesis.settings:
    """Settings with `share` times as many examples as the profile's default."""
    return hypothesis.settings(max_examples=max(1, round(share * PROFILES[PROFILE])), **options)
