"""A definition in a notebook: each method calls what the command of its name calls, or reads what commands left, as pandas frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd

from finflow.flows.command_line import commands, pages
from finflow.flows.interface import frames
from finflow.flows.interface.arguments import Date, date_text, definition_source, names, version_number
from finflow.flows.interface.outcome import ShownOutcome
from finflow.flows.interface.process import as_a_command, enter_home
from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.data.knowledge import resolve_as_of
from finflow.pipelines.definitions.context import open_by_name
from finflow.pipelines.definitions.loading import keep_mapping, load_and_remember
from finflow.pipelines.evaluation.store import read_losses
from finflow.pipelines.registry.versions import load_version
from finflow.pipelines.samples.windows import open_samples, store_samples
from finflow.pipelines.scoring.score import champion_version

if TYPE_CHECKING:
    from finflow.models.samples import Samples
    from finflow.pipelines.definitions.context import Context
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.registry.served import ServedModel


def load(definition: str | os.PathLike[str] | Mapping[str, Any]) -> UseCase:
    """One use case, to be trained, scored and read.

    Args:
        definition: a definition's name, a path ending in .yaml, or a mapping of what such a file holds. A mapping is kept under
            FINFLOW_HOME, where commands find it by its name; relative paths in it are relative to the working folder.

    Raises:
        DefinitionError: it cannot be read, or does not fit the schema; the message names every fault.
        FinflowError: this process worked with another home before.
    """
    home, given = enter_home(), definition_source(definition)
    name = given if isinstance(given, str) else str(keep_mapping(given, home))
    load_and_remember(name, home)
    return UseCase(name)


def definitions() -> pd.DataFrame:
    """The shipped definitions, a row each: name, title, simulated (bool)."""
    return pd.DataFrame(commands.list_definitions(enter_home())["definitions"], columns=["name", "title", "simulated"])


class UseCase:
    """One definition and what finflow has of it; `load` makes it. Its file is read anew by every call.

    Whatever a command would say, a method raises as `FinflowError`. A date is a text (2018-12-31), a `datetime.date` or a pandas Timestamp.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def definition(self) -> Definition:
        """The definition, every default filled in."""
        return load_and_remember(self._name, enter_home())

    def validate(self, as_of: Date | None = None) -> ShownOutcome:
        """Read the source and check it against the contract, and nothing more: `finflow validate`."""
        return self._outcome(commands.validate, pages.validate, date_text(as_of))

    def train(
        self,
        as_of: Date | None = None,
        *,
        candidates: str | Sequence[str] | None = None,
        seed: int | None = None,
        accelerator: str = "cpu",
        devices: int = 1,
        strategy: str = "auto",
        precision: str = "32-true",
    ) -> ShownOutcome:
        """Fit every candidate, compare them with the baselines, and decide: `finflow train`, with its options."""
        hardware = {"accelerator": accelerator, "devices": devices, "strategy": strategy, "precision": precision}
        return self._outcome(commands.train, pages.train, date_text(as_of), names(candidates, "candidates"), seed, hardware)

    def try_candidates(
        self,
        as_of: Date | None = None,
        *,
        candidates: str | Sequence[str] | None = None,
        seed: int | None = None,
        accelerator: str = "cpu",
        devices: int = 1,
        strategy: str = "auto",
        precision: str = "32-true",
    ) -> ShownOutcome:
        """Compare candidates on folds that end before the first test date, and decide nothing: `finflow try`, with its options."""
        hardware = {"accelerator": accelerator, "devices": devices, "strategy": strategy, "precision": precision}
        given = (date_text(as_of), names(candidates, "candidates"), seed, hardware)
        return self._outcome(commands.try_candidates, pages.try_candidates, *given)

    def score(self, as_of: Date | None = None, *, version: int | None = None) -> ShownOutcome:
        """Predict from a date with the champion, or with a version, and keep the rows: `finflow score`."""
        return self._outcome(commands.score, pages.score, date_text(as_of), version_number(version))

    def backfill(
        self,
        start: Date,
        end: Date,
        *,
        entity: str | None = None,
        only: str = "missing",
        model: str = "champion",
        newest_first: bool = False,
        max_active: int = 1,
        retrain: str | None = None,
        restated: bool = False,
        dry_run: bool = False,
    ) -> ShownOutcome:
        """Fill the predictions of a range of dates, both included: `finflow backfill`, with its options."""
        first, last = date_text(start, "start") or "", date_text(end, "end") or ""
        request = BackfillRequest(first, last, entity, only, model, newest_first, max_active, retrain, restated)
        return self._outcome(commands.backfill, pages.backfill, request, "dry-run" if dry_run else "run")

    def monitor(self, as_of: Date | None = None) -> ShownOutcome:
        """Freshness, gaps, drift and realised performance of the champion: `finflow monitor`."""
        return self._outcome(commands.monitor, pages.monitor, date_text(as_of))

    def check_leakage(self, as_of: Date | None = None) -> ShownOutcome:
        """Prove that nothing later than a date enters what is predicted from it: `finflow check-leakage`."""
        return self._outcome(commands.check_leakage, pages.check_leakage, date_text(as_of))

    def verify(self) -> ShownOutcome:
        """Recompute the record: its chain, every decision's figures and verdict, the files of its versions: `finflow verify`."""
        return self._outcome(commands.verify, pages.verify, None, None, None)

    def status(self) -> ShownOutcome:
        """Who is champion and since when, how fresh the data are, where predictions are missing: `finflow status`."""
        return self._outcome(commands.status, pages.status)

    def report(self) -> ShownOutcome:
        """The newest written report: `finflow report`."""
        return self._outcome(commands.report, pages.report)

    def predictions(self, start: Date | None = None, end: Date | None = None, *, restated: bool = False) -> pd.DataFrame:
        """One row for each entity, as-of date and horizon, as `finflow export` writes them; empty where there are none.

        Args:
            start, end: the first and the last as-of date, both included; none: all.
            restated: the rows made from data as corrected since, instead of those made from what was known then.

        Returns:
            entity (str), time (the as-of date), target_time, horizon (int, from 1), the problem's values (float64: q05, q50 ...), version
            (int), input_digest (str), in_sample (bool: the model may have learnt from that date), restated (bool), scored_at (UTC),
            backfill_id (str, none where served live), and whatever else the problem asks for; sorted by time, entity and horizon.
        """
        with self._context() as context:
            return frames.prediction_frame(context, date_text(start, "start"), date_text(end, "end"), restated)

    def decisions(self) -> pd.DataFrame:
        """Every decision, oldest first, as `finflow history` shows them.

        Returns:
            The columns of `finflow.pipelines.lake.promotions.PromotionRow`: run_key, verdict, candidate, family, version, reason, level,
            challenge, evidence and recipe (dicts), effective_as_of and recorded_at (UTC), and more.
        """
        with self._context() as context:
            return frames.decision_frame(context)

    def looks(self) -> pd.DataFrame:
        """Every look at these data, oldest first, whatever definition it went by: `finflow history --looks`.

        Returns:
            The columns of `finflow.pipelines.lake.looks.Look`: definition, purpose, dates, last_date, unseen, sealed, challenge, level,
            spent, recipes and series (tuples), recorded_at (UTC), and more.
        """
        with self._context() as context:
            return frames.look_frame(context)

    def leaderboard(self, run_key: str | None = None) -> pd.DataFrame:
        """The candidates of a training on the same test dates, the smallest deciding loss first.

        Args:
            run_key: of the training, as `decisions` names it; none: the one that was decided last.

        Returns:
            By candidate: family, model, baseline (bool), seeds, invalid (why it cannot be promoted, or none); each metric, with the ends of
            its 95 % interval as METRIC_low and METRIC_high; against each baseline effect_NAME (relative reduction of the loss, positive is
            better) and p_value_NAME (one-sided, that it is no better); best_dates_share (the part of the effect against the closest
            rival that its five best dates make), adjusted_p (corrected over candidates), confidence_p (of the model confidence set),
            checks_passed (none where the gate names no checks).

        Raises:
            FinflowError: there is no such training, or its evaluation is not there any more.
        """
        with self._context() as context:
            return frames.leaderboard_frame(frames.evaluation_of(context, run_key))

    def losses(self, run_key: str | None = None) -> pd.DataFrame:
        """Every loss of every candidate and test sample of a training; `run_key` and errors as in `leaderboard`.

        Returns:
            time, entity, fold, candidate, and a float64 column a loss (NaN: invalid).
        """
        with self._context() as context:
            return read_losses(frames.evaluation_of(context, run_key))

    def samples(self, as_of: Date | None = None) -> Samples:
        """Read the source, check it and build the samples, as a training as of that date does.

        Returns:
            A lazy view: `gather(positions)` copies out float32 [n, length, columns] of raw features, `targets` are float32 [n, outputs]
            (NaN where not known yet), `index.time` the dates, `columns` the names.
        """
        with self._context() as context:
            raw = ingest(context)
            clean = validate(context, raw, resolve_as_of(context, date_text(as_of), version=raw.version))
            return open_samples(store_samples(context, clean).folder)

    def model(self, version: int | None = None) -> ServedModel:
        """The champion, or a version, after every check that scoring makes.

        Returns:
            Its `predict` takes raw feature rows, as arrays float32 [n, at least `task.length` rows, columns] (`context` rows are all that
            it reads) or as a frame: see `finflow.pipelines.registry.pyfunc.PyfuncModel.predict`.

        Raises:
            RegistryError: there is no champion, no such version, or it may not be loaded; the message says why.
        """
        with self._context() as context:
            number = version_number(version)
            return load_version(context, champion_version(context) if number is None else number)

    def __repr__(self) -> str:
        definition = self.definition
        title = f": {definition.title}" if definition.title else ""
        simulated = " (SIMULATED data)" if definition.simulated else ""
        return (
            f"{definition.name}{title}{simulated}\n  {definition.problem.kind}; candidates {', '.join(definition.candidates)}; baselines "
            f"{', '.join(definition.baselines)}\n  champion: {self._champion()}"
        )

    def _champion(self) -> str:
        try:
            champion = open_by_name(self._name, enter_home()).promotions.champion()
        except FinflowError as error:  # a notebook shows an object whatever state it is in
            return f"unknown ({error})"
        return (
            "none yet" if champion is None else f"{champion.candidate}, version {champion.version}, as of {champion.effective_as_of[:10]}"
        )

    @contextmanager
    def _context(self) -> Iterator[Context]:
        with as_a_command() as home:
            yield open_by_name(self._name, home)

    def _outcome(
        self, command: Callable[..., dict[str, Any]], page: Callable[[dict[str, Any]], list[str]], *arguments: Any
    ) -> ShownOutcome:
        with as_a_command() as home:
            return ShownOutcome(command(home, self._name, *arguments), page)
