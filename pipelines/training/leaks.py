"""What a failed leakage check makes of a training: it ends before its fits, so that no figure that may know the future is shown or decides.

No test outcome is looked at then, so the definition can be mended and trained as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.digest import digest_json
from finflow.pipelines.core.errors import LeakageError
from finflow.pipelines.core.manifests import Decision, SampleManifest
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.tracking.runs import common_tags, one_writer, run_of, write_run
from finflow.pipelines.tracking.store import experiment_of

if TYPE_CHECKING:
    from finflow.pipelines.leakage.check import LeakageReport

#: tag of a training's parent run: passed or FAILED
LEAKAGE = "finflow.leakage"


def refuse_leaks(context: Context, samples: SampleManifest, report: LeakageReport, tags: Mapping[str, str]) -> None:
    """End a training whose leakage check failed; MLflow keeps a failed run that says why, once for the same samples.

    Args:
        tags: further tags of the run.

    Raises:
        LeakageError: it failed; names the columns.
    """
    if report.passed:
        return
    found = leaks(report)
    _log(context, samples, report, tags)
    champion = context.promotions.champion()
    stays = "there is no champion" if champion is None else f"{champion.candidate} (version {champion.version}) stays champion"
    raise LeakageError(
        f"{context.name}: the leakage check failed, so nobody is promoted. {found}. Nothing was fitted and no test outcome was looked at; "
        f"{stays}. `finflow check-leakage {context.name}` says more: mend or leave out what is named, and train again."
    )


def with_leakage(decision: Decision, report: LeakageReport | None) -> Decision:
    """The decision with the check as evidence; None where none was made (a walk forward)."""
    return decision if report is None else replace(decision, evidence={**decision.evidence, "leakage": report.to_dict()})


def leaks(report: LeakageReport) -> str:
    """What a failed check found, in words."""
    failed = [check for check in report.checks if check.tried and not check.passed]
    return "; ".join(f"not so: {check.name} ({check.detail})" for check in failed)


def leakage_lines(evidence: dict[str, Any]) -> list[str]:
    """The check as a section of the report; nothing where none was made."""
    found = evidence.get("leakage")
    return [] if found is None else ["", "## Leakage", "", *_check_lines(found["checks"])]


def _check_lines(checks: list[dict[str, Any]]) -> list[str]:
    said = {True: "passed", False: "**FAILED**"}
    return [f"- {said[check['passed']] if check['tried'] else 'not tried'}: {check['name']}: {check['detail']}." for check in checks]


def _log(context: Context, samples: SampleManifest, report: LeakageReport, tags: Mapping[str, str]) -> None:
    definition, as_of = context.definition, samples.clean.as_of
    with one_writer(context.home) as client:
        experiment = experiment_of(context.home, client, definition.name)
        key = {"finflow.run_key": digest_json({"leakage": samples.digest}), "finflow.role": "leakage check"}
        common = {**common_tags(definition.name, as_of, simulated=definition.simulated), LEAKAGE: "FAILED", **tags}
        run = run_of(client, experiment, key, f"LEAKAGE as of {as_of[:10]}", common)
        note = "\n".join(["**Leakage: nobody is promoted.**", "", *_check_lines(report.to_dict()["checks"])])
        write_run(client, run.info.run_id, note=note)
        client.set_terminated(run.info.run_id, "FAILED")
