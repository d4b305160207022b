"""The stable codes of error answers, with what each means. docs/http-api.md lists the same."""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """The stable code of an error answer; what each means is in docs/http-api.md."""

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> ErrorCode:
        """Make a member of its code and one line for people."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # 400
    INVALID_SERIES_ID = "invalid_series_id", "incomplete, or of an unknown timeframe"
    SERIES_ALIAS = "series_alias", "another name of the series `canonical_series_id`"
    UNSUPPORTED_EXCHANGE = (
        "unsupported_exchange",
        "no such exchange, it has no such list, or it is not served here",
    )
    INVALID_CURSOR = "invalid_cursor", "no `next_cursor` of an earlier answer"
    INVALID_RANGE = "invalid_range", "a range that ends before it begins"
    UNSUPPORTED_RESOLUTION = "unsupported_resolution", "no resolution, or one of months"
    UNKNOWN_COLUMN = "unknown_column", "no event fills a column of this name"
    UNKNOWN_KIND = "unknown_kind", "no factor reports events of this kind"
    BAD_REQUEST = "bad_request", "a Host that is not allowed, or a query that cannot be read"
    # 401, 403
    NOT_AUTHENTICATED = "not_authenticated", "a write without credentials"
    INVALID_TOKEN = "invalid_token", "the token is not valid"
    PERMISSION_DENIED = "permission_denied", "the account may not do this"
    WRITES_DISABLED = "writes_disabled", "no ingest token is configured"
    CSRF_FAILED = "csrf_failed", "a write from a session without its CSRF token"
    ORIGIN_NOT_ALLOWED = "origin_not_allowed", "a page of another site"
    DEBUG_API_DISABLED = "debug_api_disabled", "the debug stream is switched off"
    # 404
    NOT_FOUND = "not_found", "no such address, or the feature is switched off"
    HISTORY_NO_CHUNK = "history.no_chunk", "no chunk of this name now: read the index again"
    UNKNOWN_SYMBOL = "unknown_symbol", "a symbol that is neither listed nor stored"
    READ_REPAIR_NO_DATA = "read_repair.no_data", "no candle to draw"
    REPLAY_NO_DATA = "replay.no_data", "no candle to replay"
    REPLAY_COVERAGE_DISABLED = "replay.coverage.disabled", "the feature is switched off"
    REPLAY_COVERAGE_NOT_FOUND = "replay.coverage.not_found", "no such job"
    REPLAY_PACKAGE_NOT_FOUND = (
        "replay.package.not_found",
        "the package is not built yet, or was dropped: build it again",
    )
    REPLAY_PREPARE_NO_DATA = "replay_prepare.no_data", "no candle to replay"
    REPLAY_STATUS_NOT_FOUND = "replay.status.not_found", "no such job"
    REPLAY_WINDOW_NOT_FOUND = "replay.window.not_found", "no such build"
    WORLD_READ_NO_DATA = "world_read.no_data", "no candle to read"
    WORLD_READ_NO_OVERLAY = "world_read.no_overlay", "nothing has been drawn for the series yet"
    # 405, 406, 408
    METHOD_NOT_ALLOWED = "method_not_allowed", "the address has no such method"
    BODY_TOO_SLOW = "body_too_slow", "the body took too long; the connection is closed"
    # 409
    DERIVED_SERIES = (
        "derived_series",
        "candles of a derived series can't be ingested: send those of its base",
    )
    FACTOR_OUT_OF_SYNC = (
        "factor_read.ledger_out_of_sync",
        "the factor ledger has not reached that candle yet",
    )
    EVENTS_CHANGED = (
        "events_changed",
        "what is behind the cursor has changed: read again from the beginning",
    )
    DRAW_OUT_OF_SYNC = (
        "draw_read.ledger_out_of_sync.overlay",
        "the drawings have not reached that candle yet",
    )
    READ_REPAIR_FACTOR_OUT_OF_SYNC = (
        "read_repair.ledger_out_of_sync.factor",
        "the factor ledger has not reached that candle, or is damaged",
    )
    READ_REPAIR_OVERLAY_OUT_OF_SYNC = (
        "read_repair.ledger_out_of_sync.overlay",
        "the drawings have not reached that candle, or are damaged",
    )
    REPLAY_BUILD_COVERAGE_MISSING = (
        "replay.build.coverage_missing",
        "fewer candles are stored than the package is to have",
    )
    REPLAY_BUILD_OUT_OF_SYNC = (
        "replay.build.ledger_out_of_sync",
        "a ledger has not reached the candle: prepare, or try again",
    )
    REPLAY_PREPARE_FACTOR_OUT_OF_SYNC = (
        "replay_prepare.ledger_out_of_sync.factor",
        "the factor ledger has not reached the candle: try again",
    )
    REPLAY_PREPARE_OVERLAY_OUT_OF_SYNC = (
        "replay_prepare.ledger_out_of_sync.overlay",
        "the drawings have not reached the candle: try again",
    )
    # 413, 415, 422, 429
    BODY_TOO_LARGE = "body_too_large", "the body is too large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type", "the body is not declared as JSON"
    VALIDATION_ERROR = "validation_error", "`detail` lists what is wrong, one item each"
    CANDLE_NOT_CLOSED = "candle_not_closed", "the candle's time is not over"
    NOT_DERIVED = "not_derived", "the series is not a derived one"
    REPLAY_WINDOW_TARGET_OUT_OF_RANGE = (
        "replay.window.target_idx_out_of_range",
        "the package has no such candle",
    )
    RATE_LIMITED = "rate_limited", "too many requests; `Retry-After` has the seconds to wait"
    TOO_MANY_CONNECTIONS = "too_many_connections", "too many connections of one address"
    # 500
    INTERNAL_ERROR = "internal_error", "a bug; the server's log has the reason"
    INGEST_PIPELINE_FAILED = (
        "market.ingest_pipeline_failed",
        "a step failed; nothing was stored",
    )
    OVERLAY_REPAIR_FAILED = (
        "read_repair.overlay_repair_failed",
        "a step failed; its changes were rolled back",
    )
    SERIES_DAMAGED = "series_damaged", "a stored candle of the answer has no numbers"
    # 501, 502, 503
    ARROW_NOT_INSTALLED = (
        "arrow_not_installed",
        "Parquet and Arrow files need an extra on the server",
    )
    UPSTREAM_ERROR = "upstream_error", "the exchange cannot be reached and nothing is cached"
    STORE_UNAVAILABLE = "store_unavailable", "the store does not answer: try again"
    STORE_FULL = "store_full", "the store has no room left; nothing of the write was stored"
    STORE_READ_ONLY = (
        "store_read_only",
        "the store takes no writes now; nothing of the write was stored",
    )
    TIMESCALEDB_NOT_LOADED = "timescaledb_not_loaded", "the store would lose what is written"
    REGISTRY_UNAVAILABLE = "registry_unavailable", "the ingest registry does not answer: try again"
    SERVER_BUSY = "server_busy", "too many requests are queued: try again"
    SERVER_SHUTTING_DOWN = (
        "server_shutting_down",
        "the web process is ending: try again, another one will answer",
    )
    REPLAY_BUILD_UNAVAILABLE = (
        "replay.build.unavailable",
        "no worker can be asked to build a package now: try again",
    )
    REPLAY_ARTIFACTS_UNAVAILABLE = (
        "replay.artifacts_unavailable",
        "packages can't be written now",
    )
    TOO_MANY_STREAMS = "too_many_streams", "too many streams are open: try again, perhaps elsewhere"
