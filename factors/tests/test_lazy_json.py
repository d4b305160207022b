"""Lazy objects: mappings for readers, and the stored text for clients."""

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


def test_reading_a_field_does_not_change_the_text():
    read = stored()
    assert read["b"] == FIELDS["b"]
    assert as_json(read) == orjson.dumps(FIELDS)


def test_answer_with_anything_else_is_refused():
    with pytest.raises(TypeError):
        as_json({"value": object()})
