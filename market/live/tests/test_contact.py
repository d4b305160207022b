from __future__ import annotations

import pytest

from market.live.contact import Contact


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_contact_is_lost_when_nothing_was_heard_for_too_long(clock):
    contact = Contact(10, 2, clock=clock)
    clock.now += 10
    assert not contact.is_lost
    clock.now += 1
    assert contact.is_lost
    contact.heard()
    assert not contact.is_lost


def test_contact_waits_for_some_checks_that_come_seldom(clock):
    contact = Contact(10, 60, clock=clock)
    clock.now += 179
    assert not contact.is_lost
    clock.now += 2
    assert contact.is_lost


def test_contact_is_not_lost_by_standing_still(clock):
    contact = Contact(10, 2, clock=clock)
    clock.now += 30
    contact.overslept(30)
    assert not contact.is_lost


def test_contact_is_not_gained_by_waking_early(clock):
    contact = Contact(10, 2, clock=clock)
    clock.now += 11
    contact.overslept(-5)
    assert contact.is_lost
