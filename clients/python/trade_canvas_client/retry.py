"""When a request is sent again, and after which pause."""

from __future__ import annotations

import random
from dataclasses import dataclass

from trade_canvas_client.wire import Answer


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a request is sent that fails for a reason that may pass, and how long apart.

    Pauses double from `first_s` up to `most_s`, with a random part, so that clients that failed
    together do not come back together. A `Retry-After` of the server is respected; where it is
    longer than `longest_asked_s`, the error is raised instead, and has it as `retry_after_s`.
    """

    attempts: int = 5
    first_s: float = 0.5
    most_s: float = 10.0
    longest_asked_s: float = 60.0

    def pause(self, attempt: int, answer: Answer | None = None) -> float | None:
        """Return the seconds before attempt number `attempt` + 1; None: do not try again.

        `answer` is None when there was none.
        """
        asked = None
        if answer is not None:
            if not answer.may_pass:
                return None
            asked = answer.retry_after_s
        if attempt >= self.attempts or (asked or 0) > self.longest_asked_s:
            return None
        return max(asked or 0.0, self.backoff(attempt))

    def backoff(self, failures: int) -> float:
        """Return the pause after so many failures in a row, at least one."""
        most = min(self.most_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return most * random.uniform(0.5, 1.0)
