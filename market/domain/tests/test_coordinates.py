"""Timeframes and series ids: the exact texts and arithmetic of the contract."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.series import SeriesAlias, SeriesId, SeriesIdError
from market.domain.timeframe import UNIT_SECONDS, Timeframe, TimeframeError

timeframes = st.builds(
    lambda count, unit: Timeframe.parse(f"{count}{unit}"),
    st.integers(1, 60),
    st.sampled_from(sorted(UNIT_SECONDS)),
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty timeframe"),
        ("  ", "empty timeframe"),
        ("5x", "unsupported timeframe unit: 'x'"),
        ("1Y", "unsupported timeframe unit: 'Y'"),
        ("5M", "months divide a year (1M, 2M, 3M, 4M, 6M, 12M): '5M'"),
        ("24M", "months divide a year (1M, 2M, 3M, 4M, 6M, 12M): '24M'"),
        ("0M", "months divide a year (1M, 2M, 3M, 4M, 6M, 12M): '0M'"),
        ("1M~16h", "months are not shifted, they are those of a time zone: '1M~16h'"),
        ("4h~Europe/Paris", "only days, weeks and months have a time zone: '4h~Europe/Paris'"),
        ("367d~Europe/Paris", "invalid timeframe: '367d~Europe/Paris'"),
        ("1d~Europe/Atlantis", "unknown time zone: 'Europe/Atlantis'"),
        ("1d~Etc/GMT+5", "unknown time zone: 'Etc/GMT+5'"),
        ("1d~Factory", "unknown time zone: 'Factory'"),
        ("1d~../../etc/passwd", "invalid timeframe: '../../etc/passwd'"),
        ("1d~Europe/../Europe/Paris", "unknown time zone: 'Europe/../Europe/Paris'"),
        ("1H", "unsupported timeframe unit: 'H'"),
        ("0m", "invalid timeframe: '0m'"),
        ("-1m", "invalid timeframe: '-1m'"),
        ("1.5m", "invalid timeframe: '1.5m'"),
        ("m", "invalid timeframe: 'm'"),
        ("٣m", "invalid timeframe: '٣m'"),
        ("99999999999d", "invalid timeframe: '99999999999d'"),
    ],
)
def test_timeframe_refuses(text, message):
    with pytest.raises(TimeframeError) as raised:
        Timeframe.parse(text)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("1m", 60), ("15m", 900), ("4h", 14_400), ("1d", 86_400), ("1w", 604_800)],
)
def test_timeframe_seconds(text, seconds):
    assert Timeframe.parse(f" {text} ").seconds == seconds


def test_timeframe_text_is_normalised():
    assert str(Timeframe.parse("01m")) == "1m"


def test_grid_of_a_timeframe_may_be_shifted():
    shanghai = Timeframe.parse("1d~16h")
    # 2024-01-02 00:00 in Shanghai is 2024-01-01 16:00 UTC.
    assert shanghai.open_of(1_704_124_800 + 3_600) == 1_704_124_800
    assert Timeframe.parse("1w~16h").open_of(1_704_067_200) == 1_704_067_200 - 7 * 86_400 + 57_600


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("1d~960m", "1d~16h"),
        ("1d~40h", "1d~16h"),
        ("4h~4h", "4h"),
        ("1h~90s", "1h~90s"),
        ("2d~1d", "2d~1d"),
    ],
)
def test_equal_grids_have_one_text(given, text):
    assert str(Timeframe.parse(given)) == text


@pytest.mark.parametrize("text", ["1d~", "~1h", "1d~0h", "1d~1x", "1d~1h~1h"])
def test_grid_that_is_no_timeframe_is_refused(text):
    with pytest.raises(TimeframeError):
        Timeframe.parse(text)


def test_week_opens_on_monday():
    # 2024-01-01 00:00 UTC was a Monday.
    monday = 1_704_067_200
    assert Timeframe.parse("1w").open_of(monday + 3 * 86_400) == monday


@pytest.mark.parametrize(
    ("now", "expected"), [(1_700_000_099, 1_699_999_980), (1_700_000_100, 1_700_000_040), (59, 0)]
)
def test_latest_closed(now, expected):
    assert Timeframe.parse("1m").latest_closed(now) == expected


@given(timeframes, st.integers(0, 4_000_000_000))
def test_open_covers_its_time(timeframe, time):
    opened = timeframe.open_of(time)
    assert opened <= time < opened + timeframe.seconds
    assert timeframe.is_aligned(opened)


@given(timeframes, st.integers(2_000_000, 4_000_000_000))
def test_latest_closed_is_over_and_the_next_is_not(timeframe, now):
    closed = timeframe.latest_closed(now)
    assert closed + timeframe.seconds <= now < closed + 2 * timeframe.seconds or closed == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "series_id must be '{exchange}:{market}:{symbol}:{timeframe}'"),
        ("a:b:1m", "series_id must be '{exchange}:{market}:{symbol}:{timeframe}'"),
        ("a::b:1m", "invalid series_id (empty component)"),
        ("a:b: :1m", "invalid series_id (empty component)"),
        ("a:b:c:1x", "unsupported timeframe unit: 'x'"),
        ("a:b:c\x00:1m", "invalid series_id (control character)"),
        ("a:b:\ud800:1m", "invalid series_id (control character)"),
        ("a:b:" + "c" * 200 + ":1m", "invalid series_id (longer than 200 characters)"),
    ],
)
def test_series_id_refuses(text, message):
    with pytest.raises(SeriesIdError) as raised:
        SeriesId.parse(text)
    assert str(raised.value) == message


def test_series_id_keeps_a_colon_in_the_symbol():
    series = SeriesId.parse("binance:futures:BTC/USDT:USDT:5m")
    assert (series.symbol, series.timeframe.seconds) == ("BTC/USDT:USDT", 300)


def test_series_id_is_case_sensitive():
    assert SeriesId.parse("binance:spot:A/B:1m") != SeriesId.parse("Binance:spot:A/B:1m")


def test_series_id_strips_its_parts():
    assert str(SeriesId.parse(" binance : spot: A/B :1m ")) == "binance:spot:A/B:1m"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("60m", "1h"),
        ("3600s", "1h"),
        ("24h", "1d"),
        ("90m", "90m"),
        ("36h", "36h"),
        ("1w", "1w"),
        ("14d~4d", "2w"),
        ("1w~3d", "7d"),
        ("7d", "7d"),
        ("7d~5d", "1w~1d"),
        ("24h~960m", "1d~16h"),
        ("1d~16h", "1d~16h"),
    ],
)
def test_one_grid_has_one_canonical_timeframe(text, canonical):
    timeframe = Timeframe.parse(text)
    assert str(timeframe.canonical()) == canonical
    assert timeframe.canonical().seconds == timeframe.seconds
    assert timeframe.canonical().offset == timeframe.offset


@given(timeframes, st.integers(0, 10**9))
def test_canonical_timeframes_are_equal_exactly_where_grids_are(timeframe, offset):
    shifted = timeframe.with_grid(offset)
    assert shifted.canonical() == shifted == Timeframe.parse(shifted.text)
    assert shifted.is_aligned(offset)
    assert (shifted == timeframe.canonical()) is timeframe.is_aligned(offset)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("binance:futures:BTC/USDT:USDT:60m", "binance:futures:BTC/USDT:1h"),
        ("binance:futures:BTC/USDT:1m", "binance:futures:BTC/USDT:1m"),
        # Settled in another asset, or at a date: other streams.
        ("okx:futures:BTC/USD:BTC:1m", "okx:futures:BTC/USD:BTC:1m"),
        ("okx:futures:BTC/USDT:USDT-261225:1m", "okx:futures:BTC/USDT:USDT-261225:1m"),
        ("okx:spot:BTC/USDT:USDT:1m", "okx:spot:BTC/USDT:USDT:1m"),
        ("test:futures:A:A:1m", "test:futures:A:A:1m"),
    ],
)
def test_one_stream_of_candles_has_one_canonical_id(text, canonical):
    series = SeriesId.parse(text)
    assert str(series.canonical()) == canonical
    assert series.is_canonical is (text == canonical)


def test_another_name_of_a_series_is_refused_with_the_canonical_one():
    with pytest.raises(SeriesAlias) as raised:
        SeriesId.parse("binance:futures:BTC/USDT:USDT:5m").require_canonical()
    assert str(raised.value.canonical) == "binance:futures:BTC/USDT:5m"
    assert "binance:futures:BTC/USDT:5m" in str(raised.value)


def test_candle_id():
    series = SeriesId.parse("binance:futures:BTC/USDT:1m")
    assert series.candle_id(1_700_000_040) == "binance:futures:BTC/USDT:1m:1700000040"


part = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).map(
    str.strip
)


@given(st.tuples(part, part, part), timeframes)
def test_series_id_is_parsed_back_from_its_text(parts, timeframe):
    text = ":".join([*parts, timeframe.text])
    try:
        series = SeriesId.parse(text)
    except SeriesIdError:
        return
    assert SeriesId.parse(str(series)) == series
