"""What a client keeps of drawings, by the rules of docs/drawings.md."""

from __future__ import annotations


def apply_delta(delta, catalog, points):
    """Take the definitions and points of a draw delta over into those that a client has, by id."""
    for version in delta["instruction_catalog_patch"]:
        name, time = version["instruction_id"], version["visible_time"]
        catalog[name] = version["definition"]
        kept = points.get(name, {}).items()
        points[name] = {at: value for at, value in kept if at < time}
    for name, grown in delta["series_points"].items():
        points[name].update(map(tuple, grown))
