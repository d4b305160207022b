"""Gzip bodies from parts."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.api.gzip_body import deflated, gzipped


@given(st.binary(min_size=1), st.binary(), st.binary(min_size=1))
def test_assembled_body_is_one_gzip_member(head, middle, tail):
    body = head + middle + tail
    packed, at = gzipped(body, head=len(head), tail=len(tail), middle=deflated(middle))
    assert packed[at] == deflated(middle)
    strict = zlib.decompressobj(wbits=31)
    assert strict.decompress(packed) == body
    assert strict.eof and not strict.unused_data and not strict.unconsumed_tail
    assert gzip.decompress(packed) == body


def test_one_middle_serves_many_heads():
    middle = b'{"a":1},' * 1_000
    ready = deflated(middle)
    for head in (b"x", b"another beginning "):
        packed, _ = gzipped(head + middle + b"}", head=len(head), tail=1, middle=ready)
        assert gzip.decompress(packed) == head + middle + b"}"


def test_middle_of_another_body_fails_the_checksum():
    packed, _ = gzipped(b"a" + b"true" + b"z", head=1, tail=1, middle=deflated(b"fals"))
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(packed)
