"""Reading the lines of a stream."""

from __future__ import annotations

import orjson


def parsed(content):
    """The lines of a whole answer, which must have its end."""
    lines = [orjson.loads(line) for line in content.splitlines()]
    assert lines[0]["type"] == "start"
    assert lines[-1]["type"] in ("end", "revised", "error")
    return lines
