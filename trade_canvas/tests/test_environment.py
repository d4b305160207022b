from __future__ import annotations

import stat

from trade_canvas import environment


def test_environment_saved_is_loaded_as_defaults(tmp_path):
    started = {"DATA_DIR": str(tmp_path), "DEBUG": "1", "TRADE_CANVAS_ONDEMAND_MAX_JOBS": "8"}
    environment.save(started)
    later = {"DATA_DIR": str(tmp_path), "DEBUG": "0"}
    environment.load(later)
    assert later == {
        "DATA_DIR": str(tmp_path),
        "DEBUG": "0",
        "TRADE_CANVAS_ONDEMAND_MAX_JOBS": "8",
    }


def test_environment_leaves_out_variables_of_others(tmp_path):
    environment.save({"DATA_DIR": str(tmp_path), "PATH": "/bin", "ADMIN_PASSWORD": "secret"})
    text = (tmp_path / "environment").read_text()
    assert "secret" not in text
    assert "/bin" not in text


def test_environment_file_is_private(tmp_path):
    environment.save({"DATA_DIR": str(tmp_path), "DATABASE_URL": "postgres://u:p@h/d"})
    assert stat.S_IMODE((tmp_path / "environment").stat().st_mode) == 0o600


def test_environment_without_a_file_changes_nothing(tmp_path):
    given = {"DATA_DIR": str(tmp_path / "nowhere")}
    environment.load(given)
    assert given == {"DATA_DIR": str(tmp_path / "nowhere")}


def test_environment_saved_again_drops_earlier_variables(tmp_path):
    environment.save({"DATA_DIR": str(tmp_path), "TRADE_CANVAS_INGEST_ROLE": "read"})
    environment.save({"DATA_DIR": str(tmp_path), "DEBUG": "1"})
    later = {"DATA_DIR": str(tmp_path)}
    environment.load(later)
    assert "TRADE_CANVAS_INGEST_ROLE" not in later
