"""Months, and days and weeks of zones, against the plain dates of `zoneinfo`."""

from __future__ import annotations

import calendar
import json
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from market.domain.candle import Candle
from market.domain.gaps import Gap
from market.domain.rollup import DerivedTimeframes, expected_in, is_derivable, roll_up
from market.domain.timeframe import MAX_TIME, Timeframe, TimeframeError, followable_named
from market.domain.zones import _names

DAY = 86_400
OPENS = Path(__file__).parents[3] / "clients/typescript/tests/calendar-opens.json"
# Half an hour of daylight saving time, midnights that are skipped or come twice, a day that never
# was, offsets of a quarter of an hour, and none at all.
ZONES = [
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Havana",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Asia/Shanghai",
    "Asia/Beirut",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Europe/Dublin",
]
SHAPES = ["1d", "2d", "1w", "2w", "1M", "3M", "12M"]


def timeframe(text):
    return Timeframe.parse(text)


def at(text, zone="UTC"):
    return int(datetime.fromisoformat(text).replace(tzinfo=rules(zone)).timestamp())


def rules(name):
    file = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    with file.open("rb") as opened:
        return ZoneInfo.from_file(opened)


def first_date(shape, day):
    """The first date of the candle that a date belongs to."""
    count, unit = int(shape[:-1]), shape[-1]
    if unit == "M":
        return day.replace(month=(day.month - 1) // count * count + 1, day=1)
    origin = date(1970, 1, 5) if unit == "w" else date(1970, 1, 1)
    length = count * (7 if unit == "w" else 1)
    return origin + timedelta((day - origin).days // length * length)


def dates_of(times, zone):
    """The date of each ascending time in a zone; one that has begun does not end again."""
    latest = date.min
    for time in times:
        latest = max(latest, datetime.fromtimestamp(time, zone).date())
        yield time, latest


moments = st.integers(at("1990-01-01"), at("2037-01-01"))
zones = st.sampled_from(ZONES)


@settings(deadline=None)
@given(zones, st.sampled_from(SHAPES[:4]), moments, st.data())
@example("America/Sao_Paulo", "1d", at("2017-10-14"), None)
@example("America/St_Johns", "1d", at("2006-10-28"), None)
@example("Pacific/Apia", "1d", at("2011-12-28"), None)
def test_candles_of_a_zone_are_those_of_plain_dates(name, shape, around, data):
    zone, step = rules(name), 900
    start = around // step * step
    # One whole candle at least, whatever the moment.
    reach = int(shape[0]) * (8 if shape[1] == "w" else 2) * DAY
    times = range(start - reach, start + reach, step)
    by_date = {}
    for time, day in dates_of(times, zone):
        by_date.setdefault(first_date(shape, day), []).append(time)
    whole = dict(list(by_date.items())[1:-1])
    present = set(times)
    if data is not None:
        present -= set(data.draw(st.lists(st.sampled_from(times), max_size=40)))
    expected = {}
    for inside in whole.values():
        if found := [time for time in inside if time in present]:
            expected[inside[0]] = (
                float(found[0]),
                float(found[-1]),
                float(len(found)),
                len(inside),
            )
    rows = [Candle(time, time, time, time, time, 1) for time in sorted(present)]
    made = roll_up(rows, timeframe("15m"), timeframe(f"{shape}~{name}"))
    assert {
        each.candle.candle_time: (*each.candle[1:2], *each.candle[4:], each.expected)
        for each in made
        if each.candle.candle_time in {inside[0] for inside in whole.values()}
    } == expected


@settings(deadline=None)
@given(st.sampled_from(["UTC", *ZONES]), st.sampled_from(SHAPES[4:]), moments)
def test_months_are_those_of_plain_dates(name, shape, time):
    zone = rules(name)
    found = timeframe(f"{shape}~{name}")
    opened, closed = found.open_of(time), found.close_of(found.open_of(time))
    day = datetime.fromtimestamp(time, zone).date()
    first, count = first_date(shape, day), int(shape[:-1])
    after = first
    for _ in range(count):
        after += timedelta(calendar.monthrange(after.year, after.month)[1])
    assert (
        datetime.fromtimestamp(opened, zone).date()
        == first
        > datetime.fromtimestamp(opened - 1, zone).date()
    )
    assert (
        datetime.fromtimestamp(closed, zone).date()
        == after
        > datetime.fromtimestamp(closed - 1, zone).date()
    )


@settings(deadline=None)
@given(
    st.sampled_from(sorted(set(_names().values()))),
    st.sampled_from(SHAPES),
    st.integers(at("1995-06-01"), 2**33),
    st.integers(-40, 40),
)
@example("Pacific/Apia", "1d", at("2011-12-29T10:00"), 1)
@example("Pacific/Apia", "1d", at("2011-12-30T10:00"), -1)
def test_arithmetic_of_calendars_fits_together(name, shape, time, by):
    found = timeframe(f"{shape}~{name}")
    opened = found.open_of(time)
    closed = found.close_of(opened)
    assert opened <= time < closed
    assert found.is_aligned(opened)
    assert found.is_aligned(closed)
    assert not found.is_aligned(opened + 1)
    # What tells a gap from two neighbours.
    assert closed - opened <= found.seconds < found.close_of(closed) - opened
    assert found.moved(opened, 1) == closed
    assert found.steps(opened, found.moved(opened, by)) == by
    assert found.latest_closed(closed) == opened
    assert found.latest_closed(closed - 0.5) == found.moved(opened, -1)


@pytest.mark.parametrize(
    ("zone", "before", "after"),
    [
        ("Pacific/Apia", "2011-12-29", "2011-12-31"),
        ("Pacific/Fakaofo", "2011-12-29", "2011-12-31"),
        ("Pacific/Kiritimati", "1994-12-30", "1995-01-01"),
        ("Pacific/Kwajalein", "1993-08-20", "1993-08-22"),
    ],
)
def test_date_that_was_left_out_is_not_missing(zone, before, after):
    days = timeframe(f"1d~{zone}")
    first, last = at(before, zone), at(after, zone)
    assert days.steps(first, last) == days.lacking(first, last) == 1
    assert days.steps(last, first) == -1
    assert days.steps(days.moved(first, -400), days.moved(last, 400)) == 801
    assert Gap(first, last).missing_candles(days) == 0
    assert timeframe(f"2d~{zone}").steps(at("1990-01-01", zone), at("2020-01-02", zone)) == 5479
    assert timeframe(f"1M~{zone}").steps(at("1990-01-01", zone), at("2020-01-01", zone)) == 360


@pytest.mark.parametrize(
    ("text", "opens", "closes"),
    [
        ("1d~America/New_York", "2024-03-10T05:00", "2024-03-11T04:00"),
        ("1d~America/New_York", "2024-11-03T04:00", "2024-11-04T05:00"),
        # Its midnight is skipped: the day begins at 01:00.
        ("1d~America/Sao_Paulo", "2017-10-15T03:00", "2017-10-16T02:00"),
        ("1d~Australia/Lord_Howe", "2024-04-06T13:00", "2024-04-07T13:30"),
        ("1d~Asia/Kathmandu", "2024-04-06T18:15", "2024-04-07T18:15"),
        # The 30th of December 2011 was left out.
        ("1d~Pacific/Apia", "2011-12-29T10:00", "2011-12-30T10:00"),
        # At 00:01 clocks went back to 23:01 of the day before, which has ended all the same.
        ("1d~America/St_Johns", "2006-10-29T02:30", "2006-10-30T03:30"),
        ("1w~Europe/London", "2024-03-25T00:00", "2024-03-31T23:00"),
        ("1M", "2024-02-01T00:00", "2024-03-01T00:00"),
        ("12M", "2024-01-01T00:00", "2025-01-01T00:00"),
        ("1M~America/New_York", "2024-03-01T05:00", "2024-04-01T04:00"),
    ],
)
def test_opens_and_closes_of_a_calendar(text, opens, closes):
    found = timeframe(text)
    assert (found.open_of(at(opens)), found.close_of(at(opens))) == (at(opens), at(closes))


def test_candles_of_a_day_are_counted_by_its_hours():
    minute, day = timeframe("1m"), timeframe("1d~America/New_York")
    assert expected_in(at("2024-03-10T05:00"), minute, day) == 23 * 60
    assert expected_in(at("2024-11-03T04:00"), minute, day) == 25 * 60
    assert expected_in(at("2024-02-01T00:00"), minute, timeframe("1M")) == 29 * 1440


@pytest.mark.parametrize(
    "text", ["1M", "1d~Pacific/Auckland", "3w~America/New_York", "12M~Asia/Tokyo"]
)
def test_calendars_have_an_end_and_a_beginning(text):
    found = timeframe(text)
    last = found.open_of(MAX_TIME)
    assert last <= MAX_TIME < found.close_of(last) == MAX_TIME + 1
    assert found.close_of(MAX_TIME + 1) == MAX_TIME + 1
    assert found.open_of(10**15) <= MAX_TIME
    assert found.moved(0, -(10**9)) < -(10**10)
    assert found.moved(0, 10**9) == MAX_TIME + 1
    assert found.open_of(-(10**15)) < -(10**10)
    assert found.latest_closed(30 * DAY) in range(30 * DAY)


@pytest.mark.parametrize(
    ("given", "text", "canonical"),
    [
        ("01M", "1M", "1M"),
        ("1M~utc", "1M~UTC", "1M"),
        ("3M~Etc/UTC", "3M~Etc/UTC", "3M"),
        ("1M~Africa/Abidjan", "1M~Africa/Abidjan", "1M"),
        ("1M~asia/tokyo", "1M~Asia/Tokyo", "1M~Asia/Tokyo"),
        ("1d~america/new_york", "1d~America/New_York", "1d~America/New_York"),
        ("1d~US/Eastern", "1d~US/Eastern", "1d~America/New_York"),
        ("1w~Asia/Calcutta", "1w~Asia/Calcutta", "1w~9750m"),
        ("1d~Etc/UTC", "1d~Etc/UTC", "1d"),
        ("1w~UTC", "1w~UTC", "1w"),
        ("14d~UTC", "14d~UTC", "14d"),
        ("1d~Asia/Tokyo", "1d~Asia/Tokyo", "1d~15h"),
        # It had daylight saving time until 1991.
        ("1d~PRC", "1d~PRC", "1d~Asia/Shanghai"),
    ],
)
def test_a_zone_has_one_canonical_name(given, text, canonical):
    found = timeframe(given)
    assert (found.text, found.canonical().text) == (text, canonical)
    assert found.canonical().canonical() == found.canonical() == timeframe(canonical)
    for time in range(at("1995-01-01"), at("2000-01-01"), 5 * DAY):
        assert found.open_of(time) == found.canonical().open_of(time)


@pytest.mark.parametrize(
    ("base", "to", "expected"),
    [
        ("1m", "1M", True),
        ("1s", "12M", True),
        ("1h", "1d~America/New_York", True),
        ("15m", "1d~Asia/Kathmandu", True),
        ("1h", "1d~Asia/Kathmandu", False),
        ("30m", "1w~Australia/Lord_Howe", True),
        ("1h", "1w~Australia/Lord_Howe", False),
        # Until 1972 it was 44 minutes and 30 seconds behind UTC.
        ("1m", "1d~Africa/Monrovia", False),
        ("1s", "1d~Africa/Monrovia", True),
        ("1h~30m", "1M", False),
        ("7m", "1M", False),
        ("1d", "1M", False),
        ("1M", "3M", False),
    ],
)
def test_calendars_are_derivable_where_every_day_is(base, to, expected):
    assert is_derivable(timeframe(base), timeframe(to)) is expected


def test_derived_timeframes_take_calendars_and_no_base_of_them():
    found = DerivedTimeframes.parse("1m", "1h,1M,1d~US/Eastern,1d~Etc/UTC,1d~Nowhere/Else,2M~3h")
    assert [str(each) for each in found.derived] == ["1h", "1M", "1d~America/New_York", "1d"]
    with pytest.raises(TimeframeError, match="no base"):
        DerivedTimeframes.parse("1M", "3M")


def test_months_of_an_exchange_are_left_out():
    assert list(followable_named(["1m", "1M", "1w", "1Y"])) == ["1m", "1w"]


def test_the_clients_have_the_same_open_times():
    """What their tests hold their own arithmetic to; write the file again with this loop."""
    assert json.loads(OPENS.read_text()) == {
        key: [found.moved(found.open_of(at(start)), number) for number in range(5)]
        for key in json.loads(OPENS.read_text())
        for text, start in [key.split(" ")]
        for found in [timeframe(text)]
    }


def test_zones_do_not_depend_on_the_operating_system(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    opened = timeframe("1M").open_of(at("2024-02-15"))
    assert datetime.fromtimestamp(opened, UTC) == datetime(2024, 2, 1, tzinfo=UTC)
