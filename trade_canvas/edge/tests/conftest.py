"""The API's fixtures, for the wrappers around it."""

from market.api.tests.conftest import fresh_process, in_memory, switch  # noqa: F401
