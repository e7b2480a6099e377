"""`finflow init FILE --outcome COLUMN`: a definition drafted from a table of rows, one an applicant, a claim or a call."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.errors import FinflowError, NotEnoughHistoryError, SourceError
from finflow.pipelines.core.names import check_identifier
from finflow.pipelines.drafts.columns import Chosen, choose, plain_texts
from finflow.pipelines.drafts.sniff_rows import sniff_rows
from finflow.pipelines.drafts.spacing import FOLDS, periods_to_test, spread
from finflow.pipelines.settings.yaml_text import commented, one_line
from finflow.pipelines.sources import SOURCES
from finflow.pipelines.sources.headers import listed

if TYPE_CHECKING:
    import pandas as pd

    from finflow.pipelines.drafts.sniff_rows import Column, Table

#: rows with a known outcome, and of each class, that a draft needs to train and to test on
MINIMUM_ROWS, MINIMUM_OF_A_CLASS = 100, 25
#: the date of rows that have none: one that lies behind any run, and that nobody takes for a real one
DATE = "2000-01-01"
PARTS, VALIDATION = 5, 0.2
#: rows of each class that the half of a validation part should have that calibration learns from, with some room above what it needs
MINIMUM_TO_CALIBRATE = 15
#: the usual values of a class that is looked for, each with its opposite where it needs one
POSITIVE = {"1": ("0", "-1"), "yes": (), "y": (), "true": (), "t": (), "bad": (), "default": (), "defaulted": (), "fraud": (), "是": ()}
HEADER = """\
# Drafted by `finflow init` from {path}: {rows:,} rows, {rate:.1%} of those with a known outcome {column} = {positive}.
# Read it through before you trust it; `finflow schema` lists every key.
"""
PERSONS = "# personal: [name]  # columns of persons, if there are any: keyed pseudonyms take their place at once\n"
LATER = "  # known_after_days: 365  # days after a row until its outcome counts as known; until then no training may use it\n"
PROBLEM = """\
  # costs: only their ratio counts: say what treating a row wrongly as positive costs, and what missing a positive one does
  # protected: [sex]      # columns by whose values fairness is reported; leave them out of the features
  # afterwards: [length]  # columns that are known only after the outcome: no feature may be made of them
"""


def draft_rows(path: Path, name: str, outcome: str, positive: str | None) -> str:
    """YAML text of a definition for a CSV or Parquet file of rows, which loads and trains as it stands.

    Args:
        outcome: the column that says which of two classes a row turned out to be; empty cells are outcomes that are not known yet.
        positive: its value that means the class that is looked for; by default yes, true, 1 and the like, else the rarer one.

    Raises:
        SourceError: the file cannot be read, there is no such column, it has other than two values, or none of them is `positive`.
        NotEnoughHistoryError: too few rows to train and test on.
        FinflowError: `name` is none.
    """
    table = sniff_rows(path, outcome)
    target = _column(table, path, outcome)
    texts = plain_texts(target.values)
    classes = _ordered(path, outcome, texts, positive)
    chosen = choose(table, target)
    if not chosen.features:
        raise SourceError(f"{path}: no column beside {outcome!r} is left to learn from.")
    source = _source(table, chosen)
    tests, share = _tests(chosen, texts, path, source)
    values = {
        "name": check_identifier(name, "definition name"),
        "title": f"{path.stem}: which rows turn out {outcome} = {classes[1]}",
        "source": source,
        "contract": {"kind": "table"},
        "features": [_feature(one, chosen.names[one.header]) for one in chosen.features],
        "window": {"length": 1, "horizon": 1},
        "problem": _problem(chosen.names[outcome], classes),
        **tests,
        **_recipes(share * float(texts.value_counts().min())),
        "reference": "class-frequency",
        "seed": 1,
        "seeds": 2,
    }
    rate = float((texts.dropna() == classes[1]).mean())
    top = HEADER.format(path=one_line(path.name), rows=len(texts), rate=rate, column=one_line(outcome), positive=one_line(classes[1]))
    return top + commented(values, _comments(chosen))


def _comments(chosen: Chosen) -> dict[str, str]:
    """What stands behind the parts of the text, by part."""
    left = "".join(f"# left out: {header!r}, {why}\n" for header, why in chosen.left.items())
    return {
        "source": left + "".join(f"# {one_line(note)}\n" for note in chosen.notes),
        "contract": PERSONS,
        "folds": (LATER if chosen.time else "") + PROBLEM,
    }


def _column(table: Table, path: Path, outcome: str) -> Column:
    for column in table.columns:
        if column.header == outcome:
            return column
    shown = listed([column.header for column in table.columns])
    if "names" in table.settings:
        shown = f"column_1 to column_{len(table.columns)}, for its first line holds numbers and is no header"
    raise SourceError(f"{path}: no column {outcome!r} for --outcome; there are {shown}.")


def _ordered(path: Path, outcome: str, texts: pd.Series, positive: str | None) -> tuple[str, str]:
    """The two values, the one that is looked for last."""
    counts = texts.value_counts()
    values = sorted(map(str, counts.index))
    if len(values) != 2:
        raise SourceError(
            f"{path}, column {outcome!r}: has {len(values):,} different values ({listed(values)}), and an outcome has two. Choose another "
            "column, or write the definition by hand: `problem.positive` may list several values."
        )
    if positive is not None and positive not in values:
        raise SourceError(f"{path}, column {outcome!r}: --positive {positive!r} is none of its values {values[0]!r} and {values[1]!r}.")
    if int(counts.sum()) < MINIMUM_ROWS or int(counts.min()) < MINIMUM_OF_A_CLASS:
        raise NotEnoughHistoryError(
            f"{path}: {counts.sum():,} rows have an outcome, {counts.min():,} of the rarer class; a draft needs at least {MINIMUM_ROWS} "
            f"and {MINIMUM_OF_A_CLASS} to train and to test on."
        )
    usual = [
        value
        for value, other in (values, values[::-1])
        if value.casefold() in POSITIVE and other.casefold() in (POSITIVE[value.casefold()] or (other.casefold(),))
    ]
    last = positive or (usual[0] if len(usual) == 1 else min(values, key=lambda value: int(counts[value])))
    return values[values[0] == last], last


def _source(table: Table, chosen: Chosen) -> dict[str, Any]:
    source = {**table.settings, "columns": {}}
    texts = [chosen.names[column.header] for column in table.columns if column.kind == "text" and column.header in chosen.names]
    named = source.get("names", ())  # those keep their names by themselves
    source["columns"] = {name: header for header, name in chosen.names.items() if name != header or header not in named}
    source |= {"text": [name for name in texts if name != "entity"]} if set(texts) - {"entity"} else {}
    source |= {"ignore": list(chosen.left)} if chosen.left else {}
    source |= {} if chosen.entity else {"numbered": "row"}
    if chosen.time is None:
        source["date"] = DATE
    else:
        source |= table.times[chosen.time.header]
    width = len(table.columns) + len(table.unreadable)
    return source | ({"maximum_columns": width} if width > 2_000 else {})


def _feature(column: Column, name: str) -> dict[str, Any]:
    return {"kind": "value" if column.kind == "number" else "category", "column": name}


def _problem(column: str, classes: tuple[str, str]) -> dict[str, Any]:
    problem: dict[str, Any] = {"kind": "outcome", "column": column, "positive": [classes[1]]}
    words = [re.sub(r"\W+", "-", value.casefold()).strip("-_") for value in classes]
    if words[0] != words[1] and not any(word[:1].isdigit() or not _is_identifier(word) for word in words):
        problem["classes"] = words
    return problem | {"costs": {"false_positive": 1, "false_negative": 1}, "reasons": 4}


def _is_identifier(text: str) -> bool:
    try:
        check_identifier(text, "class")
    except FinflowError:
        return False
    return True


def _tests(chosen: Chosen, texts: pd.Series, path: Path, source: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """Test periods where the rows have dates, else parts by class, with how much evidence the gate asks for; and the share of the rows that
    a fold validates on."""
    if chosen.time is None:
        folds: dict[str, Any] = {"kind": "stratified", "parts": PARTS, "validation": VALIDATION}
        evidence, share = int(texts.notna().sum()), VALIDATION * (1 - 1 / PARTS)
    else:
        dates = SOURCES[source["kind"]].model_validate(source).read()["time"].dt.normalize()[texts.notna().to_numpy()]
        times = dates.drop_duplicates().sort_values(ignore_index=True)
        if spread(times) < 2 * FOLDS:
            raise NotEnoughHistoryError(
                f"{path}, column {chosen.time.header!r}: its dates span {spread(times):.1f} months, and a draft tests on {FOLDS} periods "
                "of a month or more after as long a training. Write the definition by hand, with `folds`."
            )
        folds, a_period = periods_to_test(times)
        evidence, share = int(0.8 * FOLDS * a_period), folds["months"] / spread(times)
    return {"folds": folds, "gate": {"loss": "log_loss", "minimum_dates": max(20, min(250, evidence))}}, share


def _recipes(validated: float) -> dict[str, Any]:
    """Candidates and baselines; probabilities are calibrated where a fold's validation part can bear it.

    Args:
        validated: rows of the rarer class in it, about. Calibration takes half of them.
    """
    plain = validated / 2 < MINIMUM_TO_CALIBRATE

    def recipe(model: str, **settings: Any) -> dict[str, Any]:
        settings |= {"calibration": {"method": "none"}} if plain else {}
        return {"model": model, "settings": settings} if settings else {"model": model}

    return {
        "candidates": {"dense": recipe("tabular_dense", epochs=25, averaging=True), "boosting": recipe("boosting")},
        "baselines": {"class-frequency": {"model": "class_frequency"}, "logistic": recipe("tabular_logistic")},
    }
