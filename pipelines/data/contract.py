"""The contract: what a batch must be before anything is learned from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.expectations.batch import ENDS_AT, PERIOD, SESSION, codes, prepare
from finflow.expectations.examine import Examination, RuleOutcome, examine
from finflow.expectations.page import render_page
from finflow.expectations.rule import Graded, Mask
from finflow.expectations.rules.quarantined import FewQuarantined
from finflow.pipelines.core.digest import digest_frame, digest_json
from finflow.pipelines.core.errors import ContractError
from finflow.pipelines.core.manifests import CleanManifest, RawManifest, RuleResult
from finflow.pipelines.core.whole_files import whole_folder
from finflow.pipelines.data.contract_rules import calendar_sessions, columns_read, few_quarantined, first_known, graded_rules
from finflow.pipelines.data.contract_tables import write_clean, write_quarantine
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.as_of import KEY, WITHDRAWN, is_withdrawn
from finflow.pipelines.lake.lake import literal

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition

RULES = "rules"
CONTRACT = "contract"


@dataclass(frozen=True, eq=False)
class Judgement:
    """What the contract says about a batch.

    Attributes:
        batch: every revision known, prepared (see `finflow.expectations.batch.prepare`).
        broken: the rows to quarantine: bool, [rows].
        reasons: for each of those rows, the names of the rules it broke, joined by commas.
        examinations: of the rows, and then of the series that they leave (absent where the first stage is critical).
    """

    batch: pd.DataFrame
    broken: Mask
    reasons: list[str]
    examinations: tuple[Examination, ...]

    @property
    def outcomes(self) -> tuple[RuleOutcome, ...]:
        return tuple(outcome for examination in self.examinations for outcome in examination.outcomes)

    @property
    def critical(self) -> tuple[RuleOutcome, ...]:
        return tuple(outcome for examination in self.examinations for outcome in examination.failed("critical"))


def validate(context: Context, raw: RawManifest, as_of: pd.Timestamp, *, now: pd.Timestamp | None = None) -> CleanManifest:
    """Hold the raw rows known by `as_of` against the definition's contract.

    Every revision that keeps the rules about rows goes to `clean/<name>`, so that any earlier as-of can be read from there too, and a
    correction that breaks a rule does not take away the row that it corrects. The others go to `quarantine/<name>` with the names of the
    rules they broke. Rules about series are judged on the latest good revisions. What is in the tables already is not written again.

    The manifest's folder, `<home>/validations/<digest>`, holds data_docs.html, suite.json and result.json.

    Args:
        as_of: aware.
        now: the instant after which dates lie in the future; the clock's by default.

    Raises:
        ContractError: a critical rule is broken (one message for all of them); neither table is touched.
        DefinitionError: the contract's severities do not fit the suite, or there is no such calendar.
        ConflictError: other runs kept writing to the same tables.
    """
    definition = context.definition
    now = pd.Timestamp.now(tz="UTC") if now is None else now
    known = context.lake.read(raw.table, version=raw.version, where=f"known_at <= {literal(as_of)}").drop(columns=[PERIOD], errors="ignore")
    withdrawn = known[is_withdrawn(known)]
    judgement = judge(definition, known, now)
    del known
    if judgement.critical:
        folder = _write_folder(context, judgement, digest_frame(judgement.batch), as_of)
        raise ContractError(_message(definition, raw, as_of, judgement, folder))
    rows = judgement.batch.drop(columns=[SESSION, ENDS_AT])
    quarantined = _quarantine_rows(definition, rows, judgement)
    good = rows[~judgement.broken] if len(quarantined) else rows
    latest = _standing(good, np.flatnonzero(_latest(good)), withdrawn)
    kept = _with_withdrawn(good, withdrawn)
    digest = digest_frame(kept)  # earlier revisions too: samples read what was known at their own time
    folder = _write_folder(context, judgement, digest, as_of)
    write_quarantine(context.lake, f"quarantine/{definition.name}", quarantined, as_of)
    version = write_clean(context.lake, f"clean/{definition.name}", kept, as_of)
    return CleanManifest(
        table=f"clean/{definition.name}",
        version=version,
        as_of=as_of.isoformat(),
        digest=digest,
        rows=len(latest),
        entities=int(good["entity"].iloc[latest].nunique()),
        quarantined=len(quarantined),
        rules=tuple(_rule_result(outcome) for outcome in judgement.outcomes),
        folder=str(folder),
        raw=raw,
    )


def judge(definition: Definition, known: pd.DataFrame, now: pd.Timestamp) -> Judgement:
    """Carry out the contract over rows (every revision), without touching a table.

    A revision that withdraws its row is no row itself, and what it withdraws is in no series any more.

    Raises:
        DefinitionError: see `validate`.
    """
    withdrawn = known[is_withdrawn(known)]
    if WITHDRAWN in known:
        known = known[~is_withdrawn(known)].drop(columns=[WITHDRAWN])
    sessions = calendar_sessions(definition, known["time"]) if len(known) else None
    batch = prepare(known, sessions, partial(first_known, definition))
    graded = graded_rules(definition, batch, now)
    of_rows = [one for one in graded if one.rule.stage == "rows"]
    first = examine(batch, of_rows, f"{definition.name}-rows")
    broken, by_rule = first.quarantine(len(batch))
    if first.failed("critical"):
        return Judgement(batch, broken, _reasons(broken, by_rule), (first,))
    left = np.flatnonzero(~broken)
    places = left[_latest(batch if len(left) == len(batch) else batch.iloc[left])]
    places = _standing(batch, places, withdrawn)
    series = batch if len(places) == len(batch) else batch.iloc[places].reset_index(drop=True)
    keys = len(_standing(batch, np.flatnonzero(_latest(batch)), withdrawn))
    of_series = [_with_numbers(definition, one, keys - len(places), keys) for one in graded if one.rule.stage == "series"]
    second = examine(series, of_series, f"{definition.name}-series")
    later, later_rules = second.quarantine(len(series))
    for name, mask in later_rules:
        whole = np.zeros(len(batch), dtype=bool)
        whole[places[mask]] = True
        by_rule.append((name, whole))
    broken[places[later]] = True
    return Judgement(batch, broken, _reasons(broken, by_rule), (first, second))


def _with_numbers(definition: Definition, graded: Graded, lost: int, keys: int) -> Graded:
    return Graded(few_quarantined(definition, lost, keys), graded.severity) if isinstance(graded.rule, FewQuarantined) else graded


def _latest(batch: pd.DataFrame) -> Mask:
    """Of rows sorted by entity, time and known_at, the last of each entity and time: bool, [rows]."""
    entity, times = codes(batch), batch["time"].to_numpy()
    last = np.ones(len(batch), dtype=bool)
    last[:-1] = (entity[1:] != entity[:-1]) | (times[1:] != times[:-1])
    return last


def _standing(rows: pd.DataFrame, places: NDArray[np.intp], withdrawn: pd.DataFrame) -> NDArray[np.intp]:
    """Those of `places` in `rows` (entity, time, known_at) whose row no later revision withdraws."""
    if withdrawn.empty:
        return places
    since = withdrawn.groupby(KEY)["known_at"].max().rename("since").reset_index()
    found = rows.iloc[places][[*KEY, "known_at"]].astype({"entity": "str"}).merge(since, on=KEY, how="left")
    return places[~(found["since"] > found["known_at"]).to_numpy()]


def _with_withdrawn(good: pd.DataFrame, withdrawn: pd.DataFrame) -> pd.DataFrame:
    """The rows for the clean table: with the revisions that withdraw some of them, so that every as-of can be read from there."""
    if withdrawn.empty:
        return good
    return pd.concat([good.astype({"entity": "str"}), withdrawn], ignore_index=True)


def _reasons(broken: Mask, by_rule: list[tuple[str, Mask]]) -> list[str]:
    places = np.flatnonzero(broken)
    names: list[list[str]] = [[] for _ in places]
    for name, mask in by_rule:
        for place in np.flatnonzero(mask[places]):
            names[place].append(name)
    return [",".join(found) for found in names]


def _quarantine_rows(definition: Definition, rows: pd.DataFrame, judgement: Judgement) -> pd.DataFrame:
    """The broken rows as they came, with the rules they broke and the digest of the contract that says so."""
    broken = rows[judgement.broken].reset_index(drop=True)
    broken[RULES] = pd.Series(judgement.reasons, dtype="str")
    broken[CONTRACT] = digest_json(definition.contract.model_dump(mode="json"))
    return broken


def _rule_result(outcome: RuleOutcome) -> RuleResult:
    graded = outcome.graded
    return RuleResult(graded.rule.name, graded.severity, outcome.passed, outcome.finding.count, outcome.finding.detail)


def _message(definition: Definition, raw: RawManifest, as_of: pd.Timestamp, judgement: Judgement, folder: Path) -> str:
    faults = [f"rule {found.graded.rule.name}: {found.finding.detail}. To do: {found.graded.rule.remedy}" for found in judgement.critical]
    also = [
        f"{found.graded.rule.name} ({found.finding.detail}; to do: {found.graded.rule.remedy})"
        for part in judgement.examinations
        for found in part.failed("row")
    ]
    more = f" Rows were broken by {'; '.join(also)}." if also else ""
    where = f"{raw.table} version {raw.version} as of {as_of.isoformat()}"
    page = folder / "data_docs.html"
    return f"{definition.name}: {where} breaks its contract. {' '.join(f'{fault}.' for fault in faults)}{more} The page {page} shows all."


def _write_folder(context: Context, judgement: Judgement, digest: str, as_of: pd.Timestamp) -> Path:
    """Data Docs, suite and result in one atomic rename; the same validation again leaves them as they are."""
    definition = context.definition
    key = {
        "rows": digest,
        "broken": len(judgement.reasons),
        "rules": sorted(set(judgement.reasons)),
        "contract": definition.contract.model_dump(mode="json"),
        "columns": columns_read(definition),
        "calendar": definition.calendar,
        "as_of": as_of.isoformat(),
    }
    folder = context.home.validations / digest_json(key)
    if folder.is_dir():
        return folder

    title = f"{definition.title or definition.name}: {definition.contract.kind} contract as of {as_of.isoformat()}"
    page = render_page(judgement.examinations, title)
    with whole_folder(folder) as draft:
        (draft / "data_docs.html").write_text(page, encoding="utf-8")
        _write_json(draft / "suite.json", [part.suite for part in judgement.examinations])
        _write_json(draft / "result.json", [part.result for part in judgement.examinations])
    return folder


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, default=str), encoding="utf-8")
