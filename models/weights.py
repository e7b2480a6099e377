"""Weights of a network as one safetensors file of named arrays, and back into a module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = "weights.safetensors"
NETWORK = "network"


def write_weights(folder: Path, module: nn.Module, beside: Mapping[str, NDArray[Any]]) -> None:
    """Write a module's state, and further arrays beside it, into `folder`."""
    from safetensors.numpy import save_file

    arrays = {**beside, **{f"{NETWORK}.{name}": tensor.numpy() for name, tensor in module.state_dict().items()}}
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / WEIGHTS)


def read_weights(folder: Path) -> dict[str, NDArray[Any]]:
    """Every array that `write_weights` wrote.

    Raises:
        ValueError: the file is absent or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(folder / WEIGHTS)
    except (FileNotFoundError, SafetensorError) as error:
        raise ValueError(f"{folder / WEIGHTS} cannot be read: {error}") from None


def put_weights(module: nn.Module, arrays: Mapping[str, NDArray[Any]], folder: Path) -> None:
    """Give a module the state among `arrays`.

    Raises:
        ValueError: it is that of another network.
    """
    import torch

    try:
        module.load_state_dict({name: torch.from_numpy(array) for name, array in below(NETWORK, arrays).items()})
    except RuntimeError as error:
        raise ValueError(f"{folder / WEIGHTS} does not fit its settings: {error}") from None


def below(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays called `prefix.name`, by name."""
    return {name.removeprefix(f"{prefix}."): array for name, array in arrays.items() if name.startswith(f"{prefix}.")}
