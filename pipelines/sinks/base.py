"""What every sink is: a place that takes rows which may be there already, and then holds them once."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import ConfigDict

from finflow.pipelines.core.settings import Settings

if TYPE_CHECKING:
    import pandas as pd


class SinkSettings(Settings):
    """Base of the sinks. `write` may be called with the same rows any number of times, by any number of processes."""

    # What a person wrote is not repeated in the message about it: it may hold a password.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    @abstractmethod
    def write(self, rows: pd.DataFrame) -> int:
        """Take the rows of one delivery, all of them or (killed in between) none or some; the same call again completes it.

        Args:
            rows: `definition` (str) and the columns of `finflow.pipelines.lake.predictions.Predictions`, without `period` and `restated`.
                All rows that one scoring wrote for a date and a version come together, in every call.

        Returns:
            How many rows are new in the sink.

        Raises:
            SinkError: they cannot be written; nothing in the message is secret.
        """

    def resolved(self, folder: Path) -> Self:
        """With paths relative to `folder` made absolute."""
        return self
