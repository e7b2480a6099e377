"""How a command ends: one JSON object or a page for a person on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from finflow.flows.command_line.outcome import CommandOutcome
from finflow.flows.program import as_started, program
from finflow.flows.servers.diagnostics import explained
from finflow.flows.servers.environment import prepare_environment
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home


def execute(
    as_json: bool, work: Callable[[Home], CommandOutcome], render: Callable[[CommandOutcome], list[str]], *, is_document: bool = False
) -> NoReturn:
    """Do a command's work and end the process's command.

    Args:
        as_json: print the outcome as one JSON object instead of the page.
        work: gets the home, returns JSON-able values; an `ok` of False makes the exit code 1.
        render: the lines of the page.
        is_document: the page is a document that another program may read (YAML, JSON): it is printed to the letter. In any other, commands
            are written as the program was started.

    Raises:
        typer.Exit: always, with code 0 only if the command did what it says.
    """
    try:
        home = Home.from_environment()
        prepare_environment(home)
    except FinflowError as error:
        _fail(as_json, str(error), 1)
    try:
        with standard_output_on_error(), termination_as_interrupt(), explained(home):
            outcome = work(home)
    except FinflowError as error:
        _fail(as_json, str(error), 1)
    except KeyboardInterrupt as interrupt:
        code = 143 if isinstance(interrupt, Terminated) else 130
        _fail(as_json, f"Interrupted. What was finished is kept; this goes on from here:\n{command_line()}", code)
    if as_json:
        typer.echo(json.dumps(outcome, ensure_ascii=False, allow_nan=False, default=str))
    else:
        for line in render(outcome):
            typer.echo(line if is_document else as_started(line))
    raise typer.Exit(0 if outcome.get("ok", True) else 1)


class Terminated(KeyboardInterrupt):
    """SIGTERM: the command ends in as good order as by Ctrl-C."""


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM (of a service manager, a scheduler) unwind the command, so that it ends what it started."""

    def stop(number: int, frame: object) -> NoReturn:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def command_line() -> str:
    """The command that this process was started with, as a person would type it again."""
    return " ".join([program(), *map(shlex.quote, sys.argv[1:])])


@contextmanager
def standard_output_on_error() -> Iterator[None]:
    """Send whatever libraries and their processes print on standard output to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def print_error(message: str) -> None:
    """A failure as the one JSON object on standard output."""
    typer.echo(json.dumps({"ok": False, "error": message}, ensure_ascii=False))


def _fail(as_json: bool, message: str, code: int) -> NoReturn:
    if as_json:
        print_error(message)
    typer.echo(f"finflow: {as_started(message)}", err=True)
    raise typer.Exit(code)
