"""What a definition asks of a model: its features, windows and problem. Each version records it, and what has changed since is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.digest import digest_json
from finflow.pipelines.core.errors import RegistryError
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.lake.pending import command, pending_row
from finflow.pipelines.samples.windows import task_of
from finflow.pipelines.settings.parts import Feature, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.lake.promotions import Promotions
    from finflow.pipelines.registry.served import ServedModel

#: the parts of a definition from which samples are cut and answers are laid out
PARTS = ("features", "window", "problem")


def task_signature(definition: Definition) -> dict[str, Any]:
    """What a version of this definition answers, as JSON-able values with every default filled in."""
    signature = definition.model_dump(mode="json", include=set(PARTS))
    beside = problem_of(definition).beside
    signature["problem"] = {key: value for key, value in signature["problem"].items() if key not in beside}
    return signature


def task_signature_digest(definition: Definition) -> str:
    """Of `task_signature`."""
    return digest_json(task_signature(definition))


def changed_task(definition: Definition, served: ServedModel) -> str | None:
    """What a definition asks otherwise than a version was made for, in words ("window.length was 10, is 20"); None: nothing.

    A version made before this was recorded is compared by its model's task alone, which knows nothing of weights or barriers.
    """
    recorded = served.manifest.get("asked")
    if recorded is not None:
        changes = _changes(definition, recorded)
    else:
        now, then = task_of(definition, served.task.columns).to_dict(), served.task.to_dict()
        changes = [_was(key, then.get(key), now[key]) for key in now if then.get(key) != now[key]]
    return "; ".join(changes) or None


def check_task(
    definition: Definition, served: ServedModel, columns: tuple[str, ...] | None = None, promotions: Promotions | None = None
) -> None:
    """See that a version answers what the definition asks now.

    Args:
        columns: of the samples that it is to answer, where there are some.
        promotions: the decisions, where a version may wait that answers what is asked.

    Raises:
        RegistryError: naming what differs and what to do.
    """
    changed = changed_task(definition, served)
    if changed is None and columns is not None and columns != served.task.columns:
        changed = _was("columns", list(served.task.columns), list(columns))
    if changed is None:
        return
    raise RegistryError(
        f"version {served.version} of {definition.name} was trained for another task ({changed}): restore the definition, or "
        f"{_what_to_do(definition, promotions)}"
    )


def _what_to_do(definition: Definition, promotions: Promotions | None) -> str:
    waiting = None if promotions is None else pending_row(promotions.rows())
    if waiting is not None and waiting.evidence.get("asked") == task_signature_digest(definition):
        return f"approve version {waiting.version}, which answers it: {command('approve', definition.name, waiting.version)}"
    return f"train again, for what is asked now: finflow train {definition.name}"


def _changes(definition: Definition, recorded: Mapping[str, Any]) -> list[str]:
    problem = recorded["problem"]
    if problem.get("kind") != definition.problem.kind:
        return [_was("problem.kind", problem.get("kind"), definition.problem.kind)]
    now = task_signature(definition)
    changes = _features([_filled(Feature, one) for one in recorded["features"]], now["features"])
    for part, settings in (("window", Window), ("problem", type(definition.problem))):
        then = _filled(settings, recorded[part])
        changes += [_was(f"{part}.{key}", then.get(key), value) for key, value in now[part].items() if then.get(key) != value]
    return changes


def _features(then: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[str]:
    old, new = ({Feature.model_validate(one).label: one for one in features} for features in (then, now))
    changes = [f"feature {name} is no more" for name in old if name not in new]
    changes += [f"feature {name} is new" for name in new if name not in old]
    for name in old.keys() & new.keys():
        before = old[name]
        changes += [_was(f"feature {name}: {key}", before.get(key), value) for key, value in new[name].items() if before.get(key) != value]
    return changes or (["the features stand in another order"] if list(old) != list(new) else [])


def _filled(settings: type[BaseModel], recorded: dict[str, Any]) -> dict[str, Any]:
    """With the defaults of fields that this release has and the version's did not."""
    from pydantic import ValidationError

    try:
        return settings.model_validate(recorded).model_dump(mode="json")
    except ValidationError:
        return recorded


def _was(what: str, then: Any, now: Any) -> str:
    return f"{what} was {then}, is {now}"
