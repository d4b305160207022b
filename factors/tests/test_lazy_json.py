"""Stored objects: mappings to whoever looks inside, their own text to the client."""

from __future__ import annotations

import orjson
import pytest

from factors.lazy_json import LazyObject, as_json

FIELDS = {"b": 0.1 + 0.2, "a": [1, -0.0, 1e22, None], "text": 'é"\\'}


def stored():
    return LazyObject(orjson.dumps(FIELDS).decode())


def test_object_equals_what_was_stored():
    assert stored() == FIELDS
    assert [stored()] == [FIELDS]
    assert stored() != {**FIELDS, "a": []}


def test_object_keeps_the_order_of_its_fields():
    assert list(stored().items()) == list(FIELDS.items())


def test_answer_is_the_same_bytes_as_with_plain_objects():
    assert as_json({"deep": [stored()], "n": 1}) == orjson.dumps({"deep": [FIELDS], "n": 1})


def test_looking_inside_does_not_change_the_text():
    looked_at = stored()
    assert looked_at["b"] == FIELDS["b"]
    assert as_json(looked_at) == orjson.dumps(FIELDS)


def test_answer_with_anything_else_is_refused():
    with pytest.raises(TypeError):
        as_json({"value": object()})
