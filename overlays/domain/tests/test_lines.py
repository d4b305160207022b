"""Lines that grow: whatever a client has and however it reads, it shows the same."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from market.domain.series import SeriesId
from overlays.domain.delta import draw_delta
from overlays.domain.instruction import POINT, line
from overlays.domain.renderer import Sheet
from overlays.domain.tests.applied import apply_delta
from overlays.domain.versions import SeriesVersions

SERIES = SeriesId.parse("x:y:Z:1m")
NAMES = ("a.one", "a.two")
LOOKS = [line("a.one", color="blue"), line("a.one", color="up", width=2)]

moves = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from(["extend", "extend", "extend", "extend", "withdraw", "end"]),
    st.integers(0, 1),
)
programs = st.lists(st.lists(moves, max_size=3), min_size=1, max_size=40)


class Drawn:
    """The versions of a program of moves, a candle a minute."""

    def __init__(self):
        self.sheet, self.versions, self.time = Sheet(), SeriesVersions(), 0

    def step(self, made):
        self.time += 60
        self.sheet.time = self.time
        extended = set()
        for name, move, look in made:
            if move == "extend" and name not in extended:
                self.sheet.extend(name, LOOKS[look], self.time / 7)
                extended.add(name)
            elif move == "withdraw":
                self.sheet.withdraw(name)
            elif move == "end":
                self.sheet.end(name)
        for change in self.sheet.take(self.time, {}):
            self.versions.append(len(self.versions) + 1, change)


class Client:
    """Keeps drawings by the rules of docs/drawings.md."""

    def __init__(self, drawn, *, window, limit=10**6, fresh_limit=10**6):
        self.drawn, self.window = drawn, window
        self.limits = {"limit": limit, "fresh_limit": fresh_limit}
        self.catalog, self.points, self.active, self.cursor = {}, {}, [], 0

    def read(self, to_time):
        """Read until nothing is behind the cursor."""
        self.cutoff = max(0, to_time - self.window * 60)
        while True:
            delta = draw_delta(
                self.drawn.versions,
                cursor=self.cursor,
                to_time=to_time,
                cutoff=self.cutoff,
                **self.limits,
            )
            self.take(json.loads(json.dumps(delta.as_object(SERIES), default=dict)))
            if delta.is_whole:
                return self

    def take(self, delta):
        apply_delta(delta, self.catalog, self.points)
        self.active = delta["active_ids"]
        self.cursor = delta["next_cursor"]["version_id"]

    def shown(self):
        """Looks and points of the window."""
        found = {}
        for name in self.active:
            start = max(self.cutoff, self.catalog[name]["start"])
            points = sorted(each for each in self.points[name].items() if each[0] >= start)
            found[name] = self.catalog[name], points
        return found


ENDS_BEHIND_ITS_POINT = [
    [("a.one", "extend", 0), ("a.two", "extend", 0)],
    [("a.one", "extend", 0)],
    [("a.two", "extend", 0), ("a.two", "end", 0)],
]


# Answers of two versions end between the last point of a line and its end.
@example(ENDS_BEHIND_ITS_POINT, 12, {0, 2})
@given(programs, st.sampled_from([3, 12, 2000]), st.sets(st.integers(0, 40)))
def test_every_way_of_reading_shows_the_same(program, window, reads):
    drawn, live = Drawn(), {}
    follower = Client(drawn, window=window)
    # Little fits into an answer, and a client without anything gets what its window shows.
    slow = Client(drawn, window=window, limit=2, fresh_limit=3)
    for number, made in enumerate(program):
        drawn.step(made)
        whole = Client(drawn, window=window).read(drawn.time).shown()
        brief = Client(drawn, window=window, fresh_limit=0).read(drawn.time)
        assert brief.shown() == whole
        assert follower.read(drawn.time).shown() == whole
        if number in reads:
            assert slow.read(drawn.time).shown() == whole
        live[drawn.time] = whole
    for time, whole in live.items():
        # Later candles change nothing of it.
        for fresh_limit in (0, 10**6):
            again = Client(drawn, window=window, fresh_limit=fresh_limit).read(time)
            assert again.shown() == whole


@given(programs)
def test_walk_through_the_past_by_one_cursor_shows_what_was_live(program):
    drawn = Drawn()
    for made in program:
        drawn.step(made)
    walker = Client(drawn, window=12)
    for time in range(60, drawn.time + 60, 60):
        assert walker.read(time).shown() == Client(drawn, window=12).read(time).shown()


@given(programs)
def test_line_has_at_most_one_point_a_candle(program):
    drawn = Drawn()
    for made in program:
        drawn.step(made)
    seen = [
        (each.instruction_id, each.visible_time) for each in drawn.versions if each.kind == POINT
    ]
    assert len(set(seen)) == len(seen)
