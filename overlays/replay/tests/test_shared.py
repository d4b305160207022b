"""What is shared is restored, and kept once."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from overlays.replay.shared import Shared, restored

NAMES = st.sampled_from(["a long name of a field", "another name of a field", "$", "c"])
VALUES = st.recursive(
    st.one_of(st.integers(0, 3), st.floats(0, 1), st.none(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_shared_is_restored(value):
    shared = Shared()
    put = orjson.loads(orjson.dumps(shared.put(value)))
    assert restored(orjson.loads(orjson.dumps(shared.objects)), put) == value


def test_an_object_that_occurs_again_is_kept_once():
    level = {"price": 42310.55, "status": "active", "first_time": 1700003280, "count": 3}
    shared = Shared()
    put = shared.put([{"levels": [level, level]}, {"levels": [level]}])
    assert orjson.dumps([put, shared.objects]).count(b"42310.55") == 1
