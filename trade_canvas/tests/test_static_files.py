"""Static files are collected while web processes send them."""

from __future__ import annotations

import gzip

from trade_canvas.prefixed import WholeCompressor


def test_file_that_is_being_sent_is_not_written_over(tmp_path):
    script = tmp_path / "page.js"
    script.write_text("first" * 1000)
    compressor = WholeCompressor(use_brotli=False, quiet=True)
    (name,) = compressor.compress(str(script))
    with open(name, "rb") as sent:
        compressor.compress(str(script))
        script.write_text("second" * 2000)
        compressor.compress(str(script))
        assert gzip.decompress(sent.read()) == b"first" * 1000
    assert gzip.decompress((tmp_path / "page.js.gz").read_bytes()) == b"second" * 2000
    assert (tmp_path / "page.js.gz").stat().st_mtime == script.stat().st_mtime
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.js", "page.js.gz"]


def test_file_that_has_not_changed_is_left_alone(tmp_path):
    script = tmp_path / "page.js"
    script.write_text("first" * 1000)
    compressor = WholeCompressor(use_brotli=False, quiet=True)
    (name,) = compressor.compress(str(script))
    before = (tmp_path / name).stat().st_ino
    compressor.compress(str(script))
    assert (tmp_path / name).stat().st_ino == before
