"""Lightning's trainer, quiet: no progress bar, no logger, no files, nothing on standard output."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as lightning
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch.multiprocessing.spawn import ProcessException

from finflow.models.base import DDP, PRECISIONS, Hardware
from finflow.models.errors import FitFailure, FitProcessLost
from finflow.models.networks.modules.training import Training

#: how Lightning names an exception of ours in the traceback of one of its processes
_REFUSAL = "finflow.models.errors.FitFailure: "


def run_training(training: Training, hardware: Hardware) -> None:
    """Train in place.

    Raises:
        FitFailure: the hardware is not there or cannot do this, or a loss is not finite.
        FitProcessLost: one of several processes was killed; the others have ended.
    """
    with quiet():
        trainer = make_trainer(training.settings.epochs, hardware, strategy_of(hardware, type(training).alternates))
        try:
            trainer.fit(training, *training.loaders())
        except ProcessException as error:
            raise _why(error, trainer) from error
    training.to("cpu")
    training.float()


def _why(error: ProcessException, trainer: lightning.Trainer) -> Exception:
    """What a person is told when one of several processes ended early: a killed one before those whose connection to it broke."""
    last = str(error).strip().splitlines()[-1]
    if last.startswith(_REFUSAL):
        return FitFailure(last.removeprefix(_REFUSAL))
    codes = [process.exitcode or 0 for process in trainer.strategy.launcher.procs]  # type: ignore[union-attr]
    by_signal = [rank for rank, code in enumerate(codes) if code < 0]
    # Lightning ends the others by SIGTERM, if the broken connection has not.
    killed = [rank for rank in by_signal if codes[rank] != -signal.SIGTERM] or by_signal
    if not killed:
        return RuntimeError(last)
    rank = killed[0]
    name = signal.Signals(-codes[rank]).name
    return FitProcessLost(
        f"the process of rank {rank}, one of {len(codes)} that trained together, was ended by {name} (SIGKILL: often for want of memory)"
    )


def make_trainer(epochs: int, hardware: Hardware, strategy: str) -> lightning.Trainer:
    """Lightning's trainer with that strategy of Lightning's.

    Raises FitFailure: the hardware asked for is not there.
    """
    if hardware.precision not in PRECISIONS:
        raise FitFailure(f"precision {hardware.precision!r} is not supported: take one of {', '.join(PRECISIONS)}")
    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    try:
        return lightning.Trainer(
            accelerator=hardware.accelerator,
            devices=hardware.devices,
            strategy=strategy,
            precision=hardware.precision,  # type: ignore[arg-type]
            max_epochs=epochs,
            deterministic=True,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            **options,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise FitFailure(
            f"this hardware cannot be used (accelerator {hardware.accelerator}, devices {hardware.devices}): {error}"
        ) from error


def strategy_of(hardware: Hardware, alternates: bool = False) -> str:
    """Lightning's `ddp` starts the program again with the same command line, which here is a whole flow; processes of its own do the same.

    On the CPU they are forked, with what is loaded and read; CUDA survives no fork, nor does a pool of threads: there they are spawned.

    Args:
        alternates: a step leaves some of the parameters without a gradient.
    """
    if hardware.devices > 1 and hardware.strategy in DDP:
        start = "fork" if hardware.accelerator == "cpu" and hardware.threads == 1 else "spawn"
        return f"ddp_{start}_find_unused_parameters_{str(alternates).lower()}"
    return hardware.strategy


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's notes (which devices, which tips) and warnings stay unsaid; temporary folders and variables of its processes go."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    before, environment = tempfile.tempdir, dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="finflow-fit-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        tempfile.tempdir, os.environ["TMPDIR"] = folder, folder
        try:
            yield
        finally:
            tempfile.tempdir = before
            for name in set(os.environ) - set(environment):
                del os.environ[name]
            os.environ.update(environment)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
