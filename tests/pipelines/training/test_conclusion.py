"""What keeps a training from a decision: nothing is decided, and no challenge spent, on fits that say nothing of a model."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from finflow.models.base import Hardware
from finflow.pipelines.core.errors import DefinitionError, FitError, FitLostError, StateError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.fits import fits
from finflow.pipelines.fits.fits import carry_out_all
from finflow.pipelines.lake.promotions import Promotions
from finflow.pipelines.operating.early_checks import check_train
from finflow.pipelines.settings.parts import Recipe
from finflow.pipelines.training.conclusion import completed
from finflow.pipelines.training.plan import TrainingPlan, add_champion_recipe, chosen_recipes, plan_training
from tests.support.pipelines.fit_support import definition, folds_of, market, own_models, planned, recipes, stored

__all__ = ["own_models"]

pytestmark = pytest.mark.usefixtures("own_models")

BASELINE = {"ridge": {"model": "fixed"}}


def plan_of(home: Home, chosen: Mapping[str, Recipe]) -> TrainingPlan:
    made = definition()
    samples = stored(made, home, market())
    specs = planned(made, home, samples, dict(chosen))
    folds = folds_of(made, samples)
    return TrainingPlan("key", samples.clean.as_of, samples, folds, dict(chosen), ("ridge",), None, (1,), Hardware(), specs)


def test_one_failed_candidate_of_two_is_reported_and_the_rest_is_decided(home: Home) -> None:
    plan = plan_of(home, recipes(bad={"model": "failing"}, good={"model": "fixed", "settings": {"width": 0.02}}, **BASELINE))
    found, failed = completed(plan, carry_out_all(plan.specs, home))
    assert set(failed) == {"bad"}
    assert set(found) == {"good", "ridge"}


def test_where_every_candidate_fails_nothing_is_decided(home: Home) -> None:
    plan = plan_of(home, recipes(bad={"model": "failing"}, **BASELINE))
    with pytest.raises(FitError, match=r"No candidate could be fitted, so nothing was decided\. bad, fold .*: the loss is not finite"):
        completed(plan, carry_out_all(plan.specs, home))


def test_a_lost_process_is_no_verdict_on_a_candidate(home: Home) -> None:
    plan = plan_of(home, recipes(killed={"model": "dying"}, good={"model": "fixed", "settings": {"width": 0.02}}, **BASELINE))
    with pytest.raises(FitLostError, match=r"killed, fold .* was lost, ended by signal 9.* Nothing was decided.* run the command again"):
        completed(plan, carry_out_all(plan.specs, home))


@pytest.mark.parametrize(
    ("asked", "message"), [(["random-walk"], "only baselines"), ([], "names nothing"), (["nobody"], "no candidate nobody")]
)
def test_candidates_that_name_none(asked: list[str], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        chosen_recipes(definition(), asked)


def test_a_deciding_loss_that_the_problem_does_not_have_is_refused_before_any_fit(home: Home) -> None:
    wrong = definition(gate={"loss": "sharpe"})
    with pytest.raises(DefinitionError, match=r"sharpe.*'forecast': there are crps, mae, mse"):
        plan_training(open_context(wrong, home), stored(wrong, home, market()))
    with pytest.raises(DefinitionError, match="sharpe"):
        check_train(open_context(wrong, home), None, None, {"precision": "32-true"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"candidates": {"gan": {"model": "scenario_gan"}}}, r"gan: ScenarioGan answers sample paths .* asks for quantiles"),
        ({"baselines": {"random-walk": {"model": "random_walk"}, "har": {"model": "har"}}}, r"har: Har forecasts variances"),
        ({"candidates": {"net": {"model": "dense", "settings": {"loss": "qlike"}}}}, r"net: a network with `loss: qlike`"),
    ],
)
def test_a_recipe_that_cannot_answer_what_is_asked_is_refused_before_any_fit(home: Home, changes: dict[str, object], message: str) -> None:
    wrong = definition(**changes)
    with pytest.raises(DefinitionError, match=message):
        plan_training(open_context(wrong, home), stored(wrong, home, market()))
    with pytest.raises(DefinitionError, match=message):
        check_train(open_context(wrong, home), None, None, {"precision": "32-true"})


def test_a_gpu_that_is_not_there_is_refused_before_any_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, "_has_cuda", lambda: False)
    monkeypatch.setattr(fits, "_torch_sees_cuda", lambda: False)
    with pytest.raises(FitError, match="shows no CUDA device: use cpu"):
        fits.resolved(Hardware("gpu"))
    assert fits.resolved(Hardware("auto")).accelerator == "cpu"


@pytest.mark.parametrize("recipe", [{"model": "gone"}, {"model": "ridge", "settings": {"no_such": 1}}])
def test_a_champion_whose_model_is_gone_is_named(home: Home, monkeypatch: pytest.MonkeyPatch, recipe: dict[str, object]) -> None:
    monkeypatch.setattr(Promotions, "champion_recipe", lambda self: recipe)
    with pytest.raises(StateError, match=rf"the champion's recipe \({recipe['model']}\) cannot be fitted by this finflow"):
        add_champion_recipe(open_context(definition(), home), {})
