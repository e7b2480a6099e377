"""Write the parts of the documentation that the code tells: every field of a definition, every setting of a model, every rule.

python -m tests.support.pages
"""

from __future__ import annotations

import importlib
import inspect
import json
import typing
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

REPOSITORY = Path(__file__).resolve().parents[2]
DEFINITIONS = REPOSITORY / "pipelines" / "definitions" / "README.md"
MODELS = REPOSITORY / "models" / "README.md"
RULES = REPOSITORY / "expectations" / "README.md"


def definition_fields() -> str:
    """The definition, part by part, as Markdown."""
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.problems import problem_settings
    from finflow.pipelines.settings.operations import Monitoring, Schedule
    from finflow.pipelines.settings.parts import Contract, Folds, Gate, Recipe, StratifiedFolds, Window
    from finflow.pipelines.sinks import sink_settings
    from finflow.pipelines.sources import source_settings
    from finflow.pipelines.sources.mapping import TableSource

    tables = "Its columns are mapped as [those of every table](#columns-of-tables) are: the fields there may be given too."
    parts = [_part(3, "A definition", Definition, "The fields at the top, in the order in which they are best read.")]
    parts += ["### source", "A source has a `kind`, which says what else it takes."]
    parts += [_part(4, "Columns of tables", TableSource)]
    for kind, source in source_settings().items():
        is_table = issubclass(source, TableSource)
        parts.append(_part(4, f"Source `{kind}`", source, tables if is_table else "", set(TableSource.model_fields) if is_table else set()))
    parts += [_part(3, "contract", Contract), _features(), _part(3, "window", Window)]
    parts += ["### problem", "What each kind asks, and how its answers are judged, is in [problems](../problems/README.md)."]
    parts += [_part(4, f"Problem `{kind}`", problem) for kind, problem in problem_settings().items()]
    parts += ["### folds", _part(4, "Folds `time`", Folds), _part(4, "Folds `stratified`", StratifiedFolds)]
    parts += [_part(3, "candidates and baselines", Recipe, "Settings of every model are in [models](../../models/README.md).")]
    parts += [_part(3, "gate", Gate), _part(3, "schedule", Schedule), _part(3, "monitoring", Monitoring)]
    parts += ["### sink", *(_part(4, f"Sink `{kind}`", sink) for kind, sink in sink_settings().items())]
    return "\n\n".join(parts)


def model_settings() -> str:
    """What groups of models have in common, then every model of the zoo: what it is, and its own settings."""
    from finflow.models.zoo import ZOO, model_class

    parts = []
    for group, title in _groups().items():
        parts.append(f"#### {title}\n\n{_above(group)}{_table(group, _shared(group))}")
    modules = [place.partition(":")[0] for place in ZOO.values()]
    for name, place in ZOO.items():
        model, module = model_class(name), place.partition(":")[0]
        what = _first_paragraph(model)
        if modules.count(module) == 1:
            what = f"{_first_paragraph(importlib.import_module(module))} {what}"
        parts.append(f"#### `{name}`\n\n{what}\n\n{_above(model.Settings)}{_table(model.Settings, _shared(model.Settings))}")
    return "\n\n".join(parts)


def rules() -> str:
    """Every rule: what it demands, how grave a breach is, in which suites it stands, and what a person can do."""
    from finflow.expectations.bars import bar_rules
    from finflow.expectations.rule import Rule
    from finflow.expectations.rules.quarantined import FewQuarantined
    from finflow.expectations.table import table_rules
    from finflow.expectations.tuning import Tuning

    columns, outcome = ("close",), ("paid", ("no",))
    # Between them these two hold whatever a definition can switch on.
    tunings = [
        Tuning(columns, columns, outcome, missing, columns, "2020-01-01", "XNYS", 250, 5, 10, 0.6, None, False) for missing in (False, True)
    ]
    suites = {"bars": bar_rules, "table": table_rules}
    # A suite leaves out what is judged after the others, of every kind of batch.
    within = {suite: {FewQuarantined.name, *(rule.name for tuning in tunings for rule in build(tuning))} for suite, build in suites.items()}
    rows = ["| rule | what it demands | severity | suites | what to do |", "|---|---|---|---|---|"]
    for name, rule in sorted(Rule.known.items()):
        if not rule.__module__.startswith("finflow.expectations."):
            continue  # of a test
        where = [suite for suite, names in within.items() if name in names]
        told = (_cell(inspect.cleandoc(rule.__doc__ or "")), rule.severity, ", ".join(where), _cell(rule.remedy))
        rows.append(f"| `{name}` | {' | '.join(told)} |")
    return "\n".join(rows)


def _groups() -> dict[type[BaseModel], str]:
    """Settings that several models share, the most general first, each with the title of its section."""
    from finflow.models.networks.network_settings import GradientSettings, NetworkSettings, TrainingSettings
    from finflow.models.row_networks.row_settings import RowNetworkSettings, SupervisedRowSettings
    from finflow.models.rows.tabular import AugmentedSettings, TabularSettings

    return {
        GradientSettings: "Every network",
        TrainingSettings: "Networks of windows",
        NetworkSettings: "Networks of windows with a loss of their choice",
        TabularSettings: "Models of rows",
        AugmentedSettings: "Models of rows that can be given generated rows",
        RowNetworkSettings: "Networks of rows",
        SupervisedRowSettings: "Networks of rows that learn from the classes",
    }


def _above(settings: type[BaseModel]) -> str:
    """A line that names the groups whose settings these have too."""
    titles = [title for group, title in _groups().items() if group is not settings and issubclass(settings, group)]
    links = [f"[{title[0].lower()}{title[1:]}](#{title.lower().replace(' ', '-')})" for title in titles]
    return f"Has the settings of {', '.join(links)} too; what differs stands here.\n\n" if links else ""


def _shared(settings: type[BaseModel]) -> set[str]:
    """Names of the settings that are to the letter those of a group."""
    told: dict[str, Any] = {}
    for group in _groups():
        if group is not settings and issubclass(settings, group):
            told |= {name: (field.description, _effective(group, name)) for name, field in group.model_fields.items()}
    fields = settings.model_fields
    return {name for name, field in fields.items() if told.get(name) == (field.description, _effective(settings, name))}


def spliced(text: str, mark: str, part: str) -> str:
    """The text with what stands between `<!-- mark -->` and `<!-- /mark -->` replaced."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the marks {begin} and {end} must stand there in this order")
    return f"{before}{begin}\n\n{part}\n\n{end}{after}"


def pages() -> dict[Path, str]:
    """The pages as they must read."""
    wanted = ((DEFINITIONS, "fields", definition_fields), (MODELS, "settings", model_settings), (RULES, "rules", rules))
    return {path: spliced(path.read_text(encoding="utf-8"), mark, part()) for path, mark, part in wanted}


def _part(level: int, title: str, model: type[BaseModel], more: str = "", without: Collection[str] = ()) -> str:
    told = [f"{'#' * level} {title}", inspect.cleandoc(model.__doc__ or ""), more, _table(model, without)]
    return "\n\n".join(text for text in told if text)


def _features() -> str:
    """The fields of a feature, and beneath them the kinds that there are."""
    from finflow.pipelines.features.kinds import CATEGORY, FEATURES
    from finflow.pipelines.settings.parts import Feature

    rows = ["| kind | what it is | `column` | `window` | also takes |", "|---|---|---|---|---|"]
    for name, kind in FEATURES.items():
        what = "A text: its codes go to models that read categories." if name == CATEGORY else inspect.cleandoc(kind.function.__doc__ or "")
        window = "" if kind.smallest_window is None else f"at least {kind.smallest_window}"
        column = "" if kind.column == "none" else kind.column
        rows.append(f"| `{name}` | {_cell(what)} | {column} | {window} | {', '.join(f'`{one}`' for one in kind.takes)} |")
    return "\n\n".join([_part(3, "features", Feature), "#### Kinds of features", "\n".join(rows)])


def _table(model: type[BaseModel], without: Collection[str] = ()) -> str:
    """A row a field: what it means, what may be written, what it is if nothing is."""
    schema = model.model_json_schema()
    given = {name: field for name, field in model.model_fields.items() if name not in without}
    rows = ["| field | what it is | may be | default |", "|---|---|---|---|"]
    for name, field in given.items():
        shape = schema["properties"][name]
        if "const" in shape:
            continue  # the kind itself, which the title names
        what = (field.description or "") + _parts_of(field)
        default = "required" if field.is_required() else _value(_effective(model, name))
        rows.append(f"| `{name}` | {_cell(what)} | {_cell(_allowed(shape, schema))} | {_cell(default)} |")
    return "\n".join(rows) if len(rows) > 2 else "No further settings." if without else "No settings."


def _parts_of(field: FieldInfo) -> str:
    """The fields of a small part that has no section of its own, in words."""
    kinds = [field.annotation, *typing.get_args(field.annotation)]
    inner = next((kind for kind in kinds if inspect.isclass(kind) and issubclass(kind, BaseModel)), None)
    if inner is None or inner.__name__ in _SECTIONS:
        return ""
    told = [f"`{name}` ({_value(_effective(inner, name))}): {one.description}" for name, one in inner.model_fields.items()]
    return f". Its fields, with their defaults: {'; '.join(told)}"


_SECTIONS = {
    "Contract": "contract",
    "Feature": "features",
    "Window": "window",
    "Folds": "folds",
    "StratifiedFolds": "folds",
    "Recipe": "candidates-and-baselines",
    "Gate": "gate",
    "Schedule": "schedule",
    "Monitoring": "monitoring",
}


def _allowed(shape: dict[str, Any], schema: dict[str, Any]) -> str:
    """What may be written there, in words."""
    if "$ref" in shape:
        name = shape["$ref"].rpartition("/")[2]
        return f"[{_SECTIONS[name].replace('-', ' ')}](#{_SECTIONS[name]})" if name in _SECTIONS else "a mapping"
    if "oneOf" in shape:
        return "a mapping with a `kind`, see below"
    if "anyOf" in shape:
        return " or ".join(dict.fromkeys(_allowed(one, schema) for one in shape["anyOf"] if one.get("type") != "null"))
    if "enum" in shape:
        return ", ".join(_value(one) for one in shape["enum"] if one is not None)
    if "const" in shape:
        return f"`{shape['const']}`"
    kind = shape.get("type")
    if kind == "array":
        return _list(shape, schema)
    if kind == "object":
        values = shape.get("additionalProperties")
        return f"a mapping to {_allowed(values, schema)}" if isinstance(values, dict) and values else "a mapping"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}[str(kind)]
    words = {"date": "date", "date-time": "instant"}.get(str(shape.get("format")), words)
    limits = (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"), ("exclusiveMaximum", "below"))
    return " ".join([words, *(f"{text} {_number(shape[key])}" for key, text in limits if key in shape)])


def _list(shape: dict[str, Any], schema: dict[str, Any]) -> str:
    if "prefixItems" in shape:
        return f"{len(shape['prefixItems'])} of: {_allowed(shape['prefixItems'][0], schema)}"
    most = f", at most {shape['maxItems']}" if "maxItems" in shape else ""
    return f"a list of: {_allowed(shape['items'], schema)}{most}"


def _effective(model: type[BaseModel], name: str) -> Any:
    """What a field is where nobody writes it: what the whole model makes of it (a recipe's value), where it can be made of nothing."""
    try:
        return getattr(model(), name)
    except (ValidationError, TypeError):  # a field is required, or the class is only the beginning of others
        return model.model_fields[name].get_default(call_default_factory=True, validated_data={})


def _value(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(map(_value, value))
    if isinstance(value, (int, float)):
        return f"`{_number(value)}`"
    return f"`{value}`" if str(value).strip() else f"`{json.dumps(value)}`"


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"


def _first_paragraph(thing: Any) -> str:
    return " ".join(inspect.cleandoc(thing.__doc__ or "").partition("\n\n")[0].split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
