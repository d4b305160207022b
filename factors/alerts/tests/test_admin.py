"""The admin's pages of rules and alerts."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages

from factors.alerts.models import Alert, AlertAttempt, AlertRule
from factors.alerts.outbox import load_rules
from factors.alerts.tests.test_delivery import make_alert, make_rule
from market.api.tests.conftest import fresh_process, switch

__all__ = ["fresh_process", "switch"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_process")]

RULES, ALERTS = "/admin/factors/alertrule/", "/admin/factors/alert/"
FORM = {
    "name": "Pens",
    "series": "binance:futures:BTC/USDT:1m",
    "source": "factors",
    "known": ["pen.confirmed", "sr.level_broken"],
    "direction": "both",
    "cooldown_s": "0",
    "webhook_url": "https://example.com/hook",
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "enabled": "on",
}


@pytest.fixture
def staff(client, django_user_model, switch):
    """Logged in with all permissions of alerts."""
    switch(enable_alerts=True)
    user = django_user_model.objects.create(username="staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__contains="alert"))
    client.force_login(user)
    return client


def said(response):
    return [str(each) for each in get_messages(response.wsgi_request)]


def test_rule_is_made_with_its_form_and_shown_in_the_list(staff, monkeypatch):
    # Of a factor that declares no kinds.
    monkeypatch.setattr("factors.alerts.admin.is_known", lambda kind: kind[:4] in ("box.", "wave"))
    form = FORM | {"others": "box.closed, wave.new"}
    assert staff.post(f"{RULES}add/", form).status_code == 302
    (rule,) = load_rules()
    assert rule.kinds == {"pen.confirmed", "sr.level_broken", "box.closed", "wave.new"}
    page = staff.get(RULES).content.decode()
    assert "Pens" in page and "example.com" in page and "enabled" in page
    row = AlertRule.objects.get()
    page = staff.get(f"{RULES}{row.pk}/change/").content.decode()
    assert 'value="box.closed, wave.new"' in page and page.count("checked") >= 3


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"known": []}, "choose at least one kind"),
        ({"others": "no kind"}, "no kind is no kind of event"),
        ({"others": "pen.confimed"}, "pen.confimed is no kind of event"),
        ({"source": "price"}, "a price is needed"),
        ({"webhook_url": ""}, "choose a webhook, the stream, or both"),
        ({"webhook_url": "ftp://example.com/"}, "http"),
        ({"webhook_url": "https://me:pw@example.com/"}, "would show it in logs"),
        ({"secret": "whsec_c2hvcnQ="}, "24 to 64 bytes"),
        ({"series": "BTC/USDT"}, "exchange:market:symbol:timeframe"),
    ],
)
def test_rule_that_can_not_work_is_refused_with_the_reason(staff, change, problem):
    response = staff.post(f"{RULES}add/", FORM | change)
    assert response.status_code == 200 and problem in response.content.decode()
    assert not AlertRule.objects.exists()


def test_rule_that_is_enabled_again_counts_from_then_on(staff):
    rule = make_rule("https://example.com/", enabled=False, disabled_reason="gone")
    armed = rule.active_from
    assert "disabled: gone" in staff.get(RULES).content.decode()
    response = staff.post(RULES, {"action": "enable", "_selected_action": [rule.pk]})
    assert said(response) == ["1 rules enabled."]
    rule.refresh_from_db()
    assert rule.enabled and not rule.disabled_reason and rule.active_from > armed
    staff.post(RULES, {"action": "disable", "_selected_action": [rule.pk]})
    rule.refresh_from_db()
    assert not rule.enabled
    form = FORM | {"kinds": "", "webhook_url": rule.webhook_url}
    staff.post(f"{RULES}{rule.pk}/change/", form)
    rule.refresh_from_db()
    assert rule.enabled and rule.active_from > armed


def test_secret_is_renewed_and_rule_armed(staff):
    rule = make_rule("https://example.com/")
    chosen = {"_selected_action": [rule.pk]}
    assert "1 secrets" in said(staff.post(RULES, {"action": "renew_secret", **chosen}))[0]
    assert said(staff.post(RULES, {"action": "arm", **chosen}))[-1] == "1 rules armed."
    changed = AlertRule.objects.get()
    assert changed.secret != rule.secret and changed.active_from > rule.active_from


def test_alert_is_listed_with_its_deliveries_and_sent_again(staff):
    alert = make_alert(make_rule("https://example.com/"), state="dead", attempts=16)
    Alert.objects.update(last_error="HTTP 500")
    AlertAttempt.objects.create(
        alert=alert, number=16, duration_ms=12, status=500, error="HTTP 500"
    )
    page = staff.get(ALERTS).content.decode()
    assert alert.series in page and "given up (16)" in page and "HTTP 500" in page
    page = staff.get(f"{ALERTS}{alert.pk}/change/").content.decode()
    assert "500" in page and alert.id in page
    response = staff.post(ALERTS, {"action": "send_again", "_selected_action": [alert.pk]})
    assert said(response) == ["1 alerts are sent again."]
    alert.refresh_from_db()
    assert (alert.state, alert.attempts) == ("pending", 0)


def test_pages_are_away_while_alerts_are_switched_off(staff, switch):
    switch(enable_alerts=False)
    assert staff.get(RULES).status_code == 403 and staff.get(ALERTS).status_code == 403
