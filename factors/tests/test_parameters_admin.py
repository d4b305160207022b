"""The admin's page of parameters of single series."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages

from factors import runtime, tasks
from factors.models import FactorParameters, FactorState
from factors.series_parameters import SUPERSEDED
from factors.tests.ledgers import new_series
from factors.tests.test_series_parameters import SHORT, WAVES, engine_with
from market.api.tests.conftest import fresh_process, switch
from market.models import Series
from market.runtime import pipeline

__all__ = ["fresh_process", "switch"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_process")]

PAGE = "/admin/factors/factorparameters/"
LEDGERS = "/admin/factors/factorstate/"


@pytest.fixture
def editor(client, django_user_model):
    user = django_user_model.objects.create(username="staff", is_staff=True)
    names = ["add", "change", "delete", "view"]
    codes = [f"{name}_factorparameters" for name in names] + ["view_factorstate", "view_series"]
    user.user_permissions.set(Permission.objects.filter(codename__in=codes))
    client.force_login(user)
    return client


@pytest.fixture
def series():
    found = new_series()
    pipeline().ingest(found, WAVES)
    return found


@pytest.fixture
def sent(monkeypatch):
    """The rebuilds that were requested."""
    requested = []
    monkeypatch.setattr(
        tasks.dispatch, "send", lambda *task, **more: requested.append(task) or True
    )
    return requested


def fields(series, values, factor="pivot"):
    key = Series.objects.get(name=str(series)).pk
    text = values if isinstance(values, str) else json.dumps(values)
    return {"series": key, "factor": factor, "parameters": text}


def errors_of(answer):
    return [text for texts in answer.context["adminform"].form.errors.values() for text in texts]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"windw": 3}, "there is no parameter windw; there are window_major, window_minor"),
        ({"window_major": 0}, "pivot windows must be at least 1"),
        ({"window_major": 2.5}, "window_major must be a whole number, not 2.5"),
        ({"window_major": True}, "window_major must be a whole number, not True"),
        ({"window_major": "3"}, "window_major must be a whole number, not '3'"),
        ({}, "This field is required."),
        ([3], "A JSON object with at least one parameter is needed."),
        ("{", "Enter a valid JSON."),
    ],
)
def test_parameters_that_the_factor_refuses_are_refused_with_its_reason(
    editor, series, sent, values, reason
):
    assert errors_of(editor.post(f"{PAGE}add/", fields(series, values))) == [reason]
    assert not FactorParameters.objects.exists() and not sent


def test_form_offers_factors_with_parameters_and_shows_the_usual_ones(editor, series):
    page = editor.get(f"{PAGE}add/")
    offered = [name for name, _ in page.context["adminform"].form.fields["factor"].choices]
    specs = runtime.engine().factors
    assert offered == [spec.name for spec in specs if spec.parameters is not None]
    assert "pivot: window_major 50, window_minor 5" in page.content.decode()


def test_saved_parameters_have_the_series_computed_again(editor, series, sent):
    answer = editor.post(f"{PAGE}add/", fields(series, SHORT))
    assert answer.status_code == 302
    assert sent == [("factors.tasks.rebuild", str(series))]
    assert any("computed again" in str(each) for each in get_messages(answer.wsgi_request))
    assert FactorState.objects.get().fingerprint == SUPERSEDED
    tasks.rebuild(str(series))
    assert FactorState.objects.get().fingerprint == engine_with(SHORT).fingerprint
    rows = editor.get(f"{LEDGERS}?logic=current").context["cl"].result_list
    assert [row.series.name for row in rows] == [str(series)]
    assert not editor.get(f"{LEDGERS}?logic=outdated").context["cl"].result_list
    assert "(current)" in editor.get(LEDGERS).content.decode()


def test_ledger_of_former_parameters_is_shown_as_outdated(editor, series, sent):
    editor.post(f"{PAGE}add/", fields(series, SHORT))
    rows = editor.get(f"{LEDGERS}?logic=outdated").context["cl"].result_list
    assert [row.series.name for row in rows] == [str(series)]
    assert "superseded (outdated)" in editor.get(LEDGERS).content.decode()


def test_changed_and_removed_parameters_count_as_well(editor, series, sent):
    editor.post(f"{PAGE}add/", fields(series, SHORT))
    tasks.rebuild(str(series))
    row = FactorParameters.objects.get()
    editor.post(f"{PAGE}{row.pk}/change/", {"parameters": '{"window_major": 6}'})
    tasks.rebuild(str(series))
    wanted = engine_with({"window_major": 6})
    assert FactorState.objects.get().fingerprint == wanted.fingerprint
    editor.post(f"{PAGE}{row.pk}/delete/", {"post": "yes"})
    tasks.rebuild(str(series))
    assert FactorState.objects.get().fingerprint == runtime.engine().fingerprint
    editor.post(f"{PAGE}add/", fields(series, SHORT))
    rows = list(FactorParameters.objects.values_list("pk", flat=True))
    chosen = {"action": "delete_selected", "_selected_action": rows, "post": "yes"}
    editor.post(PAGE, chosen)
    assert len(sent) == 5 and not FactorParameters.objects.exists()


def test_second_entry_for_a_factor_is_refused(editor, series, sent):
    editor.post(f"{PAGE}add/", fields(series, SHORT))
    answer = editor.post(f"{PAGE}add/", fields(series, SHORT))
    assert errors_of(answer) == ["This series has parameters for this factor already."]


def test_without_automatic_rebuilds_the_page_names_the_command(editor, series, sent, switch):
    switch(enable_factor_fingerprint_rebuild=False)
    answer = editor.post(f"{PAGE}add/", fields(series, SHORT))
    (text,) = [str(each) for each in get_messages(answer.wsgi_request) if "rebuild" in str(each)]
    assert f"manage.py rebuild {series}" in text
    assert not sent


def test_stored_parameters_that_are_not_accepted_any_more_can_be_removed(editor, series, sent):
    key = Series.objects.get(name=str(series))
    row = FactorParameters.objects.create(
        series=key, factor="pivot", parameters={"window_major": 0}
    )
    assert "(outdated)" in editor.get(LEDGERS).content.decode()
    editor.post(f"{PAGE}{row.pk}/delete/", {"post": "yes"})
    assert not FactorParameters.objects.exists()
