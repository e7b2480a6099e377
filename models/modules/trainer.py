"""Lightning's trainer, quiet: no progress bar, no logger, no files, nothing on standard output."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as lightning
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from models.base import PRECISIONS, Hardware
from models.errors import FitFailure
from models.modules.training import Training


def run_training(training: Training, hardware: Hardware) -> None:
    """Train in place.

    Raises:
        FitFailure: the hardware is not there or cannot do this, or a loss is not finite.
    """
    with quiet():
        trainer = make_trainer(training.settings.epochs, hardware)
        try:
            trainer.fit(training, *training.loaders())
        except (ProcessRaisedException, ProcessExitedException) as error:
            # A process of several devices ended; its traceback's last line says why.
            raise FitFailure(str(error).strip().splitlines()[-1].removeprefix("models.errors.FitFailure: ")) from error
    training.to("cpu")
    training.float()


def make_trainer(epochs: int, hardware: Hardware) -> lightning.Trainer:
    """Raises FitFailure: the hardware asked for is not there."""
    if hardware.precision not in PRECISIONS:
        raise FitFailure(f"precision {hardware.precision!r} is not supported: take one of {', '.join(PRECISIONS)}")
    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    try:
        return lightning.Trainer(
            accelerator=hardware.accelerator,
            devices=hardware.devices,
            strategy=strategy_of(hardware),
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


def strategy_of(hardware: Hardware) -> str:
    """Lightning's `ddp` starts the program again with the same command line, which here is a whole flow; spawned processes do the same.

    The critic's weights get no gradient in the generator's step, hence the search for unused parameters.
    """
    if hardware.devices > 1 and hardware.strategy in ("auto", "ddp", "ddp_spawn"):
        return "ddp_spawn_find_unused_parameters_true"
    return hardware.strategy


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's notes (which devices, which tips) and warnings stay unsaid; temporary folders of its processes go with the block."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    before, environment = tempfile.tempdir, os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="finflow-fit-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        tempfile.tempdir, os.environ["TMPDIR"] = folder, folder
        try:
            yield
        finally:
            tempfile.tempdir = before
            if environment is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = environment
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
