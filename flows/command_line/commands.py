"""What each command does: it calls a flow or a stage and returns JSON-able values. Imports are late, for a quick start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from finflow.flows.command_line.outcome import CommandOutcome, flow_outcome
from finflow.flows.display import DISPLAY
from finflow.pipelines.core.home import Home

if TYPE_CHECKING:
    from finflow.pipelines.backfill.request import BackfillRequest
    from finflow.pipelines.core.manifests import Decision
    from finflow.pipelines.definitions.context import Context
    from finflow.pipelines.operating.pruning.run import PruneResult


def demo(home: Home) -> CommandOutcome:
    from finflow.flows.command_line.demo import run_demo

    return run_demo(home)


def list_definitions(home: Home) -> CommandOutcome:
    from finflow.pipelines.definitions.loading import DEFINITIONS, load_definition

    definitions = [load_definition(path.stem) for path in sorted(DEFINITIONS.glob("*.yaml"))]
    return {"definitions": [{"name": one.name, "title": one.title, "simulated": one.simulated} for one in definitions]}


def show(home: Home, name: str) -> CommandOutcome:
    import yaml

    from finflow.pipelines.definitions.loading import load_definition

    values = load_definition(name).model_dump(mode="json")
    return {"definition": values, "yaml": yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}


def schema(home: Home) -> CommandOutcome:
    from finflow.pipelines.definitions.definition import Definition

    return {"schema": Definition.model_json_schema()}


def init(home: Home, file: Path, name: str | None, to: Path | None, outcome: str | None, positive: str | None) -> CommandOutcome:
    """Draft a definition; one that would not load is not written, and an existing file is never overwritten."""
    from finflow.pipelines.core.errors import FinflowError
    from finflow.pipelines.definitions.loading import definition_of
    from finflow.pipelines.drafts.prices import draft_definition

    text = draft_definition(file, name, outcome, positive)
    drafted = definition_of(text, f"the definition drafted from {file}")
    path = to or Path(f"{drafted.name}.yaml")
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise FinflowError(f"{path} exists already: give another with --to, or another --name.") from None
    except OSError as error:
        raise FinflowError(f"{path} cannot be written ({error.strerror or error}): give another with --to.") from None
    return {"definition": drafted.name, "path": str(path)}


def validate(home: Home, name: str, as_of: str | None) -> CommandOutcome:
    from finflow.flows.servers.server import prefect_server

    _open(name, home)
    with prefect_server(home), DISPLAY.live():
        from finflow.flows.validate import validate_flow

        return validate_flow(name, as_of)


def train(
    home: Home, name: str, as_of: str | None, candidates: list[str] | None, seed: int | None, hardware: dict[str, Any]
) -> CommandOutcome:
    from finflow.flows.servers.server import prefect_server
    from finflow.pipelines.fits.process import warm_up_first
    from finflow.pipelines.operating.early_checks import check_train

    check_train(_open(name, home), as_of, candidates, hardware)
    if hardware["accelerator"] == "cpu":
        warm_up_first(home)
    with prefect_server(home), DISPLAY.live():
        from finflow.flows.train import train_flow

        return flow_outcome(train_flow(name, as_of, candidates, seed, **hardware))


def try_candidates(
    home: Home, name: str, as_of: str | None, candidates: list[str] | None, seed: int | None, hardware: dict[str, Any]
) -> CommandOutcome:
    from finflow.flows.servers.server import prefect_server
    from finflow.pipelines.fits.process import warm_up_first
    from finflow.pipelines.operating.early_checks import check_trial

    check_trial(_open(name, home), as_of, candidates, hardware)
    if hardware["accelerator"] == "cpu":
        warm_up_first(home)
    with prefect_server(home), DISPLAY.live():
        from finflow.flows.try_candidates import try_flow

        return flow_outcome(try_flow(name, as_of, candidates, seed, **hardware))


def score(home: Home, name: str, as_of: str | None, version: int | None) -> CommandOutcome:
    from finflow.flows.servers.server import prefect_server
    from finflow.pipelines.operating.early_checks import check_score

    check_score(_open(name, home), as_of, version)
    with prefect_server(home), DISPLAY.live():
        from finflow.flows.score import score_flow

        return flow_outcome(score_flow(name, as_of, version))


def backfill(home: Home, name: str, request: BackfillRequest, mode: str) -> CommandOutcome:
    """Plan and run, or only plan (`dry-run`), or only show the ledger (`status`)."""
    from finflow.pipelines.operating.early_checks import check_backfill

    context = _open(name, home)
    check_backfill(context, request)
    if mode != "run":
        from finflow.pipelines.backfill.run import show_plan

        return show_plan(context, request, mode)
    from finflow.flows.servers.server import prefect_server

    with prefect_server(home), DISPLAY.live():
        from finflow.flows.backfill import backfill_flow

        filled: CommandOutcome = backfill_flow(name, **vars(request))  # type: ignore[assignment]
        return filled


def status(home: Home, name: str) -> CommandOutcome:
    from finflow.pipelines.operating.status import status as state

    return state(_open(name, home))


def history(home: Home, name: str, looks: bool = False) -> CommandOutcome:
    from finflow.pipelines.operating.history import history as decisions
    from finflow.pipelines.operating.history import looks as all_looks

    context = _open(name, home)
    return {"definition": context.name, **(all_looks(context) if looks else decisions(context))}


def report(home: Home, name: str) -> CommandOutcome:
    from finflow.pipelines.training.report import newest_report

    return newest_report(_open(name, home))


def export(home: Home, name: str, start: str, end: str, to: Path) -> CommandOutcome:
    from finflow.pipelines.scoring.export import export as write

    return write(_open(name, home), start, end, to)


def check_leakage(home: Home, name: str, as_of: str | None) -> CommandOutcome:
    """Ingest and validate as a training would, then try to make the future change the past."""
    from finflow.pipelines.leakage.check import check_leakage as check

    context = _open(name, home)
    report = check(context, as_of)
    columns = sorted({column for one in report.checks if not one.passed for column in one.columns})
    return {"ok": report.passed, "definition": context.name, "columns": columns, "checks": [one.to_dict() for one in report.checks]}


def rollback(home: Home, name: str, why: str) -> CommandOutcome:
    from finflow.pipelines.operating.rollback import rollback as back

    context = _open(name, home)
    return {"definition": context.name, "decision": back(context, why).to_dict()}


def verify(home: Home, name: str, lake: str | None, artifacts: Path | None, accepted: tuple[str, str] | None) -> CommandOutcome:
    """Hold the record against itself; or, where a person accepts it as it stands (by, why), record that first."""
    from finflow.pipelines.core.errors import FinflowError
    from finflow.pipelines.operating.verification.run import verify as check
    from finflow.pipelines.operating.verification.run import verify_copy

    if lake is not None:
        if accepted is not None:
            raise FinflowError("--accept-head belongs where the record is kept: leave --lake out.")
        return verify_copy(lake, name, artifacts).to_dict()
    context = _open(name, home)
    if accepted is not None:
        from finflow.pipelines.operating.verification.acceptance import accept_head

        accept_head(context, *accepted)
    return check(home, context.name).to_dict()


def ui(home: Home) -> CommandOutcome:
    from finflow.flows.servers.interfaces import serve_interfaces

    return serve_interfaces(home)


def up(home: Home, names: list[str], check: bool) -> CommandOutcome:
    """Start what does not run yet, or only look."""
    from finflow.flows.servers.stack import check_stack, start_stack

    return check_stack(home) if check else start_stack(home, names)


def down(home: Home) -> CommandOutcome:
    from finflow.flows.servers.stack import stop_stack

    return stop_stack(home)


def monitor(home: Home, name: str, as_of: str | None) -> CommandOutcome:
    from finflow.flows.servers.server import prefect_server
    from finflow.pipelines.operating.early_checks import check_monitor

    check_monitor(_open(name, home), as_of)
    with prefect_server(home), DISPLAY.live():
        from finflow.flows.monitor import monitor_flow

        return flow_outcome(monitor_flow(name, as_of))


def approve(home: Home, name: str, version: int, by: str, why: str) -> CommandOutcome:
    from finflow.pipelines.operating.approval import approve as decide

    context = _open(name, home)
    return _decided(context, decide(context, version, by, why))


def reject(home: Home, name: str, version: int, by: str, why: str) -> CommandOutcome:
    from finflow.pipelines.operating.approval import reject as decide

    context = _open(name, home)
    decision = decide(context, version, by, why)
    if home.prefect_api:  # where servers run, somebody may want to be told
        from finflow.flows.runs.events import announce_rejection
        from finflow.flows.servers.server import send_what_is_queued

        announce_rejection(context.definition, decision, version)
        send_what_is_queued()
    return _decided(context, decision)


def alerts(home: Home, last: int) -> CommandOutcome:
    from finflow.flows.deployments.alerts import read_alerts

    return {"alerts": read_alerts(home, last)}


def prune(home: Home, keep: str, yes: bool) -> CommandOutcome:
    """What it will free is said before anything goes."""
    from finflow.flows.command_line.pages import freed_lines
    from finflow.pipelines.operating.pruning.run import prune as free

    def say(planned: PruneResult) -> None:
        for line in freed_lines(planned.to_dict(), "will free"):
            DISPLAY.say(line)

    return free(home, keep, delete=yes, say=say if yes else None).to_dict()


def _open(name: str, home: Home) -> Context:
    """The command's context, so that a mistake in the definition is said before anything is started."""
    from finflow.pipelines.definitions.context import open_by_name

    return open_by_name(name, home)


def _decided(context: Context, decision: Decision) -> CommandOutcome:
    """The decision, and what waits after it."""
    from finflow.pipelines.operating.history import history

    return {"definition": context.name, "decision": decision.to_dict(), "waiting": history(context)["waiting"]}
