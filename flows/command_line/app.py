"""The command line. Each command is a few lines here; its work is imported when it runs, so that `finflow --help` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from finflow.flows.command_line.options import Accelerator, Candidates, Devices, Precision, Seed, Strategy
from finflow.pipelines.backfill.request import BackfillRequest

app = typer.Typer(
    name="finflow",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="A definition's name, or a path to a YAML file.", metavar="NAME")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else there.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="Use what was known when this date's session was published.", metavar="DATE")]
Start = Annotated[str, typer.Option("--start", help="First date, included.", metavar="DATE")]
End = Annotated[str, typer.Option("--end", help="Last date, included.", metavar="DATE")]

#: commands that print a document, which another program may read
DOCUMENTS = ("show", "schema")


def _version(wanted: bool) -> None:
    if wanted:
        from finflow.flows.program import version_text

        typer.echo(version_text())
        raise typer.Exit


@app.callback()
def finflow(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Train, compare, promote and serve models on financial data."""


@app.command()
def demo(json: Json = False) -> None:
    """Train on real market data, decide, score a date, backfill a year."""
    _run(json, "demo")


@app.command("list")
def list_(json: Json = False) -> None:
    """List the shipped definitions."""
    _run(json, "list_definitions")


@app.command()
def show(name: Name, json: Json = False) -> None:
    """Show a definition with every default filled in."""
    _run(json, "show", name)


@app.command()
def schema(json: Json = False) -> None:
    """Print the JSON Schema of definitions."""
    _run(json, "schema")


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="A CSV or Parquet file of yours.", metavar="FILE")],
    name: Annotated[str | None, typer.Option("--name", help="The new definition's name (default: the file's).")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Where to write it (default: NAME.yaml here).")] = None,
    outcome: Annotated[
        str | None, typer.Option("--outcome", help="A table of rows: the column that says which of two classes each turned out to be.")
    ] = None,
    positive: Annotated[
        str | None, typer.Option("--positive", help="The outcome's value that is looked for (default: yes, 1 ..., or the rarer one).")
    ] = None,
    json: Json = False,
) -> None:
    """Draft a definition from a CSV or Parquet file of prices, or of rows with an outcome."""
    _run(json, "init", file, name, to, outcome, positive)


@app.command()
def validate(name: Name, as_of: AsOf = None, json: Json = False) -> None:
    """Read the source and check it against the contract, and nothing more."""
    _run(json, "validate", name, as_of)


@app.command()
def train(
    name: Name,
    as_of: AsOf = None,
    candidates: Candidates = None,
    seed: Seed = None,
    accelerator: Accelerator = "cpu",
    devices: Devices = 1,
    strategy: Strategy = "auto",
    precision: Precision = "32-true",
    json: Json = False,
) -> None:
    """Train every candidate, compare them with the baselines, and decide."""
    hardware = {"accelerator": accelerator, "devices": devices, "strategy": strategy, "precision": precision}
    _run(json, "train", name, as_of, _parts(candidates), seed, hardware)


@app.command("try")
def try_(
    name: Name,
    as_of: AsOf = None,
    candidates: Candidates = None,
    seed: Seed = None,
    accelerator: Accelerator = "cpu",
    devices: Devices = 1,
    strategy: Strategy = "auto",
    precision: Precision = "32-true",
    json: Json = False,
) -> None:
    """Compare candidates on folds that end before the first test date, and decide nothing: the place to choose recipes."""
    hardware = {"accelerator": accelerator, "devices": devices, "strategy": strategy, "precision": precision}
    _run(json, "try_candidates", name, as_of, _parts(candidates), seed, hardware)


@app.command()
def score(
    name: Name,
    as_of: AsOf = None,
    version: Annotated[int | None, typer.Option("--version", help="This version instead of the champion.", min=1)] = None,
    json: Json = False,
) -> None:
    """Predict from a date with the champion, and keep the rows."""
    _run(json, "score", name, as_of, version)


@app.command()
def backfill(
    name: Name,
    start: Start,
    end: End,
    entity: Annotated[str | None, typer.Option("--entity", help="Only this entity.")] = None,
    only: Annotated[str, typer.Option("--only", help="missing, failed, stale or all.")] = "missing",
    model: Annotated[str, typer.Option("--model", help="champion, as-of, or a version.")] = "champion",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and run nothing.")] = False,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="Begin with the newest date.")] = False,
    max_active: Annotated[int, typer.Option("--max-active", help="Groups of dates that run at the same time.", min=1, max=64)] = 1,
    retrain: Annotated[
        str | None, typer.Option("--retrain", help="monthly or quarterly: train as of each period's start, and score it with that.")
    ] = None,
    restated: Annotated[
        bool, typer.Option("--restated", help="Read rows as corrected since, not as they were known on each date.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Show the ledger of these dates, and run nothing.")] = False,
    json: Json = False,
) -> None:
    """Fill the predictions of a range of dates."""
    request = BackfillRequest(start, end, entity, only, model, newest_first, max_active, retrain, restated)
    _run(json, "backfill", name, request, "status" if status else "dry-run" if dry_run else "run")


@app.command()
def status(name: Name, json: Json = False) -> None:
    """Say who is champion and since when, how fresh the data are, and where predictions are missing."""
    _run(json, "status", name)


@app.command()
def history(
    name: Name,
    looks: Annotated[bool, typer.Option("--looks", help="every look at these data instead, whatever definition it went by")] = False,
    json: Json = False,
) -> None:
    """Show every decision and its reason."""
    _run(json, "history", name, looks)


@app.command()
def report(name: Name, json: Json = False) -> None:
    """Say where the newest written report is, and print its text."""
    _run(json, "report", name)


@app.command()
def export(
    name: Name,
    start: Start,
    end: End,
    to: Annotated[Path, typer.Option("--to", help="A .csv or .parquet file to write.")],
    json: Json = False,
) -> None:
    """Write the predictions of a range of dates to a file."""
    _run(json, "export", name, start, end, to)


@app.command("check-leakage")
def check_leakage(name: Name, as_of: AsOf = None, json: Json = False) -> None:
    """Prove that nothing later than a date enters what is predicted from it."""
    _run(json, "check_leakage", name, as_of)


@app.command()
def rollback(name: Name, why: Annotated[str, typer.Option("--why", help="The reason, for the record.")], json: Json = False) -> None:
    """Put the previous champion back."""
    _run(json, "rollback", name, why)


@app.command()
def verify(
    name: Name,
    lake: Annotated[str | None, typer.Option("--lake", help="A copy of a lake, to be verified by itself.", metavar="FOLDER")] = None,
    artifacts: Annotated[Path | None, typer.Option("--artifacts", help="With --lake: a folder that holds versions' files.")] = None,
    accept_head: Annotated[
        bool, typer.Option("--accept-head", help="Let a record that is shorter than it was stand, on the record.")
    ] = False,
    by: Annotated[str, typer.Option("--by", help="With --accept-head: who accepts it.")] = "",
    why: Annotated[str, typer.Option("--why", help="With --accept-head: the reason, for the record.")] = "",
    json: Json = False,
) -> None:
    """Recompute the record: its chain, every decision's figures and verdict, and the files of its versions."""
    _run(json, "verify", name, lake, artifacts, (by, why) if accept_head else None)


@app.command()
def ui(json: Json = False) -> None:
    """Serve the MLflow UI and the Prefect UI over the local state, until Ctrl-C."""
    _run(json, "ui")


Names = Annotated[list[str] | None, typer.Argument(help="Definitions beside the shipped ones: paths to YAML files.", metavar="[NAME]...")]
Version = Annotated[int, typer.Argument(help="The version that waits.", metavar="VERSION", min=1)]
By = Annotated[str, typer.Option("--by", help="Who decides.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for the record.")]


@app.command()
def up(
    names: Names = None,
    check: Annotated[bool, typer.Option("--check", help="Say what is healthy, and start nothing.")] = False,
    json: Json = False,
) -> None:
    """Start a Prefect server, an MLflow server and a worker, and register the deployments."""
    _run(json, "up", names or [], check)


@app.command()
def down(json: Json = False) -> None:
    """Stop what `up` started."""
    _run(json, "down")


@app.command()
def monitor(name: Name, as_of: AsOf = None, json: Json = False) -> None:
    """Freshness, gaps, drift and realised performance of the champion."""
    _run(json, "monitor", name, as_of)


@app.command()
def approve(name: Name, version: Version, by: By, why: Why, json: Json = False) -> None:
    """Promote a version that waits for a person."""
    _run(json, "approve", name, version, by, why)


@app.command()
def reject(name: Name, version: Version, by: By, why: Why, json: Json = False) -> None:
    """Refuse a version that waits for a person."""
    _run(json, "reject", name, version, by, why)


@app.command()
def alerts(
    last: Annotated[int, typer.Option("--last", help="How many, newest last.", min=1)] = 20,
    json: Json = False,
) -> None:
    """Show what the servers have raised: failures, refusals, quarantine, drift, late data."""
    _run(json, "alerts", last)


@app.command()
def prune(
    keep: Annotated[str, typer.Option("--keep", help="What stays: an age (90d), or the last runs (20-runs).", metavar="RULE")],
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only say what would be freed.")] = False,
    json: Json = False,
) -> None:
    """Free what no recorded run needs: the only command that deletes."""
    _run(json, "prune", keep, yes)


def _parts(text: str | None) -> list[str] | None:
    """The names between commas; None where nothing was given."""
    return [part.strip() for part in text.split(",") if part.strip()] if text else None


def _run(as_json: bool, command: str, *arguments: Any) -> NoReturn:
    from finflow.flows.command_line import commands, pages
    from finflow.flows.command_line.output import execute

    work, page = getattr(commands, command), getattr(pages, command)
    execute(as_json, lambda home: work(home, *arguments), page, is_document=command in DOCUMENTS)


def main() -> None:
    """The entry point of the `finflow` command; with --json a mistake in the command line itself is one JSON object too."""
    import sys

    from typer._click.exceptions import ClickException  # typer carries a click of its own, and re-exports only some of its errors
    from typer.main import get_command

    if "--json" not in sys.argv:
        app()
    try:
        code = get_command(app).main(standalone_mode=False)
    except ClickException as error:
        from finflow.flows.command_line.output import print_error

        print_error(error.format_message())
        error.show()
        sys.exit(error.exit_code)
    sys.exit(code or 0)
