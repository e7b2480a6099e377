"""The plots of a training: drawn by several processes where there is one to fork from, and the same then."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.evaluation.plots import training as training_plots
from finflow.pipelines.fits.fits import read_report
from finflow.pipelines.fits.process import is_warm
from tests.support.pipelines.training_support import Trained


def drawn(trained: Trained, folder: Path) -> dict[str, bytes]:
    plots = problem_of(trained.definition).plots
    training_plots.draw_training(trained.evaluation, plots, {fit: read_report(fit) for fit in trained.fits}, folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.svg"))}


def test_several_processes_draw_what_one_draws(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_warm(), "the training's fits were forked"
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(3)))
    several = drawn(trained, tmp_path / "several")
    monkeypatch.setattr(training_plots, "is_warm", lambda: False)
    assert drawn(trained, tmp_path / "one") == several
    assert {f"{entry.candidate}/forecasts.svg" for entry in trained.evaluation.candidates} <= several.keys()


def test_what_a_lost_process_should_have_drawn_is_drawn(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drawn(trained, tmp_path / "whole")
    lost = SimpleNamespace(join=lambda: None, exitcode=-9)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(2)))
    monkeypatch.setattr(training_plots, "fork", lambda target, *arguments: lost)
    assert drawn(trained, tmp_path / "again") == whole
