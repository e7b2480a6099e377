"""How the tests replace a function: whoever has imported it gets the replacement, and gives it back."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from finflow.pipelines.core.names import check_identifier
from tests.support.house import graph
from tests.support.patching import holders, replace_everywhere

HOME = "finflow.pipelines.core.names"


def refuse(name: str, what: str = "name") -> str:
    raise AssertionError("it was called")


def test_every_importer_gets_it_under_its_own_name_and_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = ModuleType("finflow.stranger")
    vars(stranger)["another_name"] = check_identifier
    monkeypatch.setitem(sys.modules, "finflow.stranger", stranger)
    with monkeypatch.context() as patch:
        replace_everywhere(patch, f"{HOME}.check_identifier", refuse)
        assert list(holders(check_identifier)) == []
        replaced = set(holders(refuse))
        assert (stranger, "another_name") in replaced
    assert set(holders(check_identifier)) == replaced
    assert list(holders(refuse)) == []


def test_who_imports_it_is_loaded_before_and_keeps_no_replacement(monkeypatch: pytest.MonkeyPatch) -> None:
    late = "finflow.pipelines.drafts.prices"
    assert HOME in graph()[late]
    monkeypatch.delitem(sys.modules, late, raising=False)
    with monkeypatch.context() as patch:
        replace_everywhere(patch, f"{HOME}.check_identifier", refuse)
        assert vars(sys.modules[late])["check_identifier"] is refuse
    assert vars(sys.modules[late])["check_identifier"] is check_identifier


def test_what_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LookupError, match=r"finflow\.pipelines\.core\.names has no check_nothing: nothing would be replaced"):
        replace_everywhere(monkeypatch, f"{HOME}.check_nothing", refuse)
