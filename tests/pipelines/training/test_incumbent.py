"""The champion's versions before a refresh: its own and the first of its line, from real trainings."""

from __future__ import annotations

import pytest

from finflow.pipelines.core.errors import RegistryError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import Context, open_context
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.operating.pruning.run import prune
from finflow.pipelines.registry.served import ServedModel
from finflow.pipelines.registry.versions import load_version
from finflow.pipelines.tracking.store import prepare_store
from tests.support import tiny_values
from tests.support.pipelines.training_support import train_as_of


def gone(version: int, context: Context, wanted: int) -> ServedModel:
    """As if somebody had deleted one version from the registry."""
    if wanted == version:
        raise RegistryError(f"version {version} of tiny is not in the registry.")
    return load_version(context, wanted)


def test_a_refresh_is_compared_with_the_first_version_too(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_store(home)
    made = parse_definition(
        tiny_values(candidates={"ridge": {"model": "ridge"}}, baselines={"random-walk": {"model": "random_walk"}}, gate={"loss": "mae"})
    )
    decided = [train_as_of(made, home, date)["decision"] for date in ("2017-02-28", "2017-04-28", "2017-06-30")]
    assert [(one["verdict"], one["version"]) for one in decided] == [("reference", 1), ("refreshed", 2), ("refreshed", 3)]
    assert "first version" not in decided[1]["reason"], "the first is the champion's own"
    assert "against its version; on " in decided[2]["reason"]
    assert "against this champion's first version (1), not worse by more than 0.5 %." in decided[2]["reason"]

    prune(home, "1-run", delete=True, now="2099-01-01T00:00:00+00:00")
    assert load_version(open_context(made, home), 1).version == 1, "pruning keeps the first version of the champion"

    monkeypatch.setattr("finflow.pipelines.training.incumbent.load_version", lambda context, version: gone(1, context, version))
    later = train_as_of(made, home, "2017-08-31")["decision"]
    assert (later["verdict"], later["version"]) == ("refreshed", 4)
    assert "against this champion's first version (2)" in later["reason"]
    assert "version 1 cannot be compared (version 1 of tiny is not in the registry), so version 2 stands for it." in later["reason"]
