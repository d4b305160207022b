"""The API's fixtures, for the wrappers around it."""

from market.api.tests.conftest import (  # noqa: F401
    fresh_process,
    in_memory,
    on_postgres,
    switch,
)
