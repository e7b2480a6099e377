"""The command line. Each command is a few lines here; its work is imported when it runs, so that `finflow --help` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

app = typer.Typer(
    name="finflow",
    help="Train, compare, promote and serve models on financial data.",
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
    json: Json = False,
) -> None:
    """Draft a definition from a CSV or Parquet file."""
    _run(json, "init", file, name, to)


@app.command()
def validate(name: Name, as_of: AsOf = None, json: Json = False) -> None:
    """Read the source and check it against the contract, and nothing more."""
    _run(json, "validate", name, as_of)


@app.command()
def train(
    name: Name,
    as_of: AsOf = None,
    candidates: Annotated[str | None, typer.Option("--candidates", help="Only these, comma-separated; every baseline runs.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="The first seed (default: the definition's).", min=0, max=2**31 - 1)] = None,
    accelerator: Annotated[str, typer.Option("--accelerator", help="cpu, gpu or auto.")] = "cpu",
    devices: Annotated[int, typer.Option("--devices", help="Devices a fit uses.", min=1)] = 1,
    strategy: Annotated[str, typer.Option("--strategy", help="Lightning's strategy.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="Lightning's precision.")] = "32-true",
    json: Json = False,
) -> None:
    """Train every candidate, compare them with the baselines, and decide."""
    chosen = [part.strip() for part in candidates.split(",") if part.strip()] if candidates else None
    hardware = {"accelerator": accelerator, "devices": devices, "strategy": strategy, "precision": precision}
    _run(json, "train", name, as_of, chosen, seed, hardware)


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
    status: Annotated[bool, typer.Option("--status", help="Show the ledger of these dates, and run nothing.")] = False,
    json: Json = False,
) -> None:
    """Fill the predictions of a range of dates."""
    _run(json, "backfill", name, start, end, entity, only, model, newest_first, dry_run, status)


@app.command()
def status(name: Name, json: Json = False) -> None:
    """Say who is champion and since when, how fresh the data are, and where predictions are missing."""
    _run(json, "status", name)


@app.command()
def history(name: Name, json: Json = False) -> None:
    """Show every decision and its reason."""
    _run(json, "history", name)


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
def ui(json: Json = False) -> None:
    """Serve the MLflow UI and the Prefect UI over the local state, until Ctrl-C."""
    _run(json, "ui")


def _run(as_json: bool, command: str, *arguments: Any) -> NoReturn:
    from flows import commands, pages
    from flows.output import execute

    execute(as_json, lambda home: getattr(commands, command)(home, *arguments), getattr(pages, command))


def main() -> None:
    """The entry point of the `finflow` command."""
    app()
