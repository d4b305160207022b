"""The engine of each series: most have the same, those with parameters of their own another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from factors.domain.engine import Engine
from factors.domain.parameters import ParameterError, with_values
from market.domain.series import SeriesId

MOST = 1_000
"""Engines that are kept; one is some kilobytes."""

Values = Mapping[str, Mapping[str, Any]]
"""Parameters that differ from the usual ones: by factor, by name."""


def nothing(_: SeriesId) -> Values:
    """No series has parameters of its own."""
    return {}


class Engines:
    """The engine of each series; thread-safe.

    `read` returns the parameters of a series as they are stored now; it is called for each `of`.
    """

    def __init__(self, default: Engine, read: Callable[[SeriesId], Values] = nothing) -> None:
        self.default = default
        self._read = read
        self._made = {default.fingerprint: default}
        self._mutex = threading.Lock()

    def of(self, series: SeriesId) -> Engine:
        """The engine with the parameters of a series; may read the store. Raises ParameterError."""
        return self.having(series, self._read(series))

    def having(self, series: SeriesId, values: Values) -> Engine:
        """The engine with these parameters of a series.

        Raises ParameterError for some that a factor does not accept (any more). Those of a factor
        that is not loaded have no effect.
        """
        changed = {}
        for name in sorted(set(values) & set(self.default.parameters)):
            try:
                changed[name] = with_values(self.default.parameters[name], values[name])
            except ParameterError as error:
                raise ParameterError(f"{series}: parameters of {name}: {error}") from error
        return self._kept(self.default.with_parameters(changed)) if changed else self.default

    def with_fingerprint(self, fingerprint: str) -> Engine | None:
        """The engine with this fingerprint, if it was needed before."""
        with self._mutex:
            return self._made.get(fingerprint)

    def _kept(self, engine: Engine) -> Engine:
        """The engine, or one with its fingerprint that is there already."""
        with self._mutex:
            kept = self._made.setdefault(engine.fingerprint, engine)
            if len(self._made) > MOST:
                del self._made[
                    next(each for each in self._made if each != self.default.fingerprint)
                ]
            return kept
