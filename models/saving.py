"""Fitted models as folders: `model.json` says what it is, `state/` holds what the model wrote. No pickle.

folder/model.json   {"format": 1, "model": zoo name, "settings": {...}, "task": {...}}
folder/state/       the model's own files: safetensors, JSON, native text, skops
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finflow.models.base import Model, Task
from finflow.models.kernels import choose_kernels
from finflow.models.zoo import ZOO, class_at, model_class

FORMAT = 1
ENSEMBLE = "ensemble"
#: an ensemble is no model of the zoo: a definition cannot name it
ENSEMBLE_CLASS = "finflow.models.ensemble:Ensemble"


def save_model(model: Model, folder: Path) -> None:
    """Write a fitted model into `folder`, which is made, and must hold no model yet.

    Raises:
        FileExistsError: there is a model already.
        KeyError: the model's class is not in the zoo, so it could not be loaded again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "model.json").exists():
        raise FileExistsError(f"{folder} holds a model already; save into a new folder")
    description = {
        "format": FORMAT,
        "model": model_name(model),
        "settings": model.settings.model_dump(mode="json"),
        "task": model.task.to_dict(),
    }
    state = folder / "state"
    state.mkdir()
    model.save(state)
    write_json(folder / "model.json", description)


def load_model(folder: Path) -> Model:
    """The model, or the ensemble, that `folder` holds.

    Raises:
        ValueError: the folder holds no model, or one of another format, or the settings or weights do not fit.
        KeyError: the zoo has no model of that name.
    """
    choose_kernels()
    description = read_description(folder)
    name = description["model"]
    kind = class_at(ENSEMBLE_CLASS) if name == ENSEMBLE else model_class(name)
    settings = kind.Settings.model_validate(description["settings"])
    return kind.load(folder / "state", settings, Task.from_dict(description["task"]))


def read_description(folder: Path) -> dict[str, Any]:
    """What `model.json` in the folder says.

    Raises:
        ValueError: it is absent, unreadable, or of another format.
    """
    path = folder / "model.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder} holds no model: model.json is absent") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        written = description.get("format") if isinstance(description, dict) else None
        raise ValueError(f"{path} is of format {written!r}; this version reads format {FORMAT}: train again")
    return description


def model_name(model: Model) -> str:
    """The zoo's name for the model's class.

    Raises:
        KeyError: it has none.
    """
    address = f"{type(model).__module__}:{type(model).__qualname__}"
    if address == ENSEMBLE_CLASS:
        return ENSEMBLE
    for name, registered in ZOO.items():
        if registered == address:
            return name
    raise KeyError(f"{address} is not in models/zoo.py: add its line there, or it cannot be loaded again")


def write_json(path: Path, values: Any) -> None:
    """As text that is the same for the same values."""
    path.write_text(json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
