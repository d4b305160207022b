"""Folders and archives: what is read of them, and what is not."""

from __future__ import annotations

import io
import tarfile
import zipfile
from contextlib import closing

import pytest

from market.candle_files import sources
from market.candle_files.refusals import FileRefused
from market.candle_files.sources import Sources


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tarred(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def contents(found):
    with closing(found.files()) as files:
        return {source.path.name: whole(source.stream) for source in files}


def whole(stream):
    return b"".join(iter(lambda: stream.read(1 << 16), b""))


def test_folder_is_read_in_the_order_of_its_names_with_its_archives(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.csv").write_bytes(b"two")
    (tmp_path / "1.csv").write_bytes(b"one")
    zipped(tmp_path / "b" / "3.zip", **{"3.csv": b"three"})
    for name in ("readme.md", ".hidden.csv", "3.zip.CHECKSUM", "X-8h-funding_rate.feather"):
        (tmp_path / name).write_bytes(b"other")
    (tmp_path / "link.csv").symlink_to("/etc/passwd")
    found = Sources(tmp_path)
    assert list(contents(found).items()) == [
        ("1.csv", b"one"),
        ("2.csv", b"two"),
        ("3.csv", b"three"),
    ]
    assert len(found.skipped) == 5
    assert not found.is_single


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz", "w"])
def test_tar_is_read_without_unpacking(tmp_path, mode):
    suffix = mode.replace("w", "").replace(":", ".")
    members = {"spot/1.csv": b"one", "x/2.csv": b"two", "3.zip": b"", "note": b"three"}
    found = Sources(tarred(tmp_path / f"all.tar{suffix}", members, mode))
    assert contents(found) == {"1.csv": b"one", "2.csv": b"two"}
    assert found.skipped == ["3.zip", "note"]


def test_path_of_a_member_counts_towards_its_series(tmp_path):
    found = Sources(zipped(tmp_path / "all.zip", **{"okx/1.csv": b"one"}))
    assert [source.path for source in found.files()] == [tmp_path / "okx" / "1.csv"]


@pytest.mark.parametrize("name", ["../1.csv", "/etc/1.csv", "x\\..\\1.csv", "C:\\1.csv"])
def test_member_that_leads_out_of_the_archive_is_refused(tmp_path, name):
    for path in (
        zipped(tmp_path / "1.zip", **{name: b"one"}),
        tarred(tmp_path / "1.tar", {name: b""}, "w"),
    ):
        with pytest.raises(FileRefused, match="bad_archive: .*out of the archive"):
            contents(Sources(path))


def test_link_in_a_tar_is_not_read(tmp_path):
    with tarfile.open(tmp_path / "1.tar", "w") as archive:
        link = tarfile.TarInfo("1.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert contents(Sources(tmp_path / "1.tar")) == {}


def test_bomb_is_refused_while_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "FREE_BYTES", 1 << 16)
    zeros = bytes(4 << 20)
    for path in (
        zipped(tmp_path / "1.zip", **{"1.csv": zeros}),
        tarred(tmp_path / "1.tgz", {"1.csv": zeros}),
    ):
        with pytest.raises(FileRefused, match="archive_bomb"):
            contents(Sources(path))


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_FILES", 1)
    with pytest.raises(FileRefused, match="too_many_files"):
        contents(Sources(zipped(tmp_path / "1.zip", **{"1.csv": b"", "2.csv": b""})))


def test_broken_archive_is_refused_and_files_after_it_are_read(tmp_path):
    path = zipped(tmp_path / "1.zip", **{"1.csv": b"one" * 99})
    path.write_bytes(path.read_bytes()[:-30])
    (tmp_path / "2.csv").write_bytes(b"two")
    with closing(Sources(tmp_path).files()) as files:
        first, second = files
    with pytest.raises(FileRefused, match="bad_archive"):
        first.stream.read()
    assert second.path.name == "2.csv"


def test_member_whose_checksum_is_wrong_is_refused(tmp_path):
    path = zipped(tmp_path / "1.zip", **{"1.csv": b"one"})
    content = path.read_bytes()
    at = content.find(b"PK\x01\x02") + 16
    path.write_bytes(content[:at] + bytes(4) + content[at + 4 :])
    with pytest.raises(FileRefused, match="bad_archive: Bad CRC"):
        contents(Sources(path))
