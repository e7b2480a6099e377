"""Which column of a table of rows is its id, its time and a feature, as a draft takes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from finflow.pipelines.core.category_texts import texts_of
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.names import check_name
from finflow.pipelines.drafts.sniff import HEADERS
from finflow.pipelines.sources.headers import listed
from finflow.pipelines.sources.mapping import RESERVED, STANDARD

if TYPE_CHECKING:
    from finflow.pipelines.drafts.sniff_rows import Column, Table

#: a text column with so many values for each row tells rows apart, and says nothing of others
MOST_DISTINCT = 0.5
#: letters of a drafted name: with `category_` before it and `_value_2` after it a feature's label is within what a name may have
LONGEST_NAME = 80
#: how well a header fits the day on which a row came in
NAMED, BEGUN, UNTOLD, UNFIT = range(4)
_BEGUN = re.compile(
    r"appli|creat|open|issu|origin|book|transact|submi|request|regist|receiv|grant|contact|call|sign|start|begin|began|order|observ|record"
    r"|as.?of|^(time|date)[^a-z]|[^a-z](time|timestamp)$|申请|创建|开户|发放|放款|登记|交易"
)
#: birthdays, and days that are known only later
_UNFIT = re.compile(
    r"birth|(^|[^a-z])(born|dob)|clos(e|ed|ing|ure)|settle|matur|expir|paid|payoff|repay|cancel|terminat|resolv|finish|complet|default"
    r"|deceas|death|(^|[^a-z])died|charg\w*?[^a-z]?off|writ\w*?[^a-z]?off|updat|modifi|known|(^|[^a-z])(last|next)([^a-z]|$)"
    r"|(^|[^a-z])(end|due|until|till)(s|ed|ing)?[^a-z]?(date|day|time|on|at)?([^a-z]|$)"
    r"|出生|生日|到期|结清|结束|截止|还款|关闭|更新|死亡"
)
_ID = re.compile(r"(^|[^a-z])(id|key|number|entity)$|编号$")
_PERSON = re.compile(
    r"(customer|client|person|patient|borrower|applicant|member|user|account|policyholder)[^a-z]?(id|no|nr|number|code|key)?$"
    r"|(客户|用户|账户|身份证号?|卡号)$"
)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Which column is what.

    Attributes:
        names: header -> finflow's name, of those that are carried along.
        entity, time: the headers of the rows' ids and dates, if there are any.
        features: in the file's order.
        left: header -> why it is left out.
        notes: what a person should know of these choices, a line each.
    """

    names: dict[str, str]
    entity: Column | None
    time: Column | None
    features: tuple[Column, ...]
    left: dict[str, str]
    notes: tuple[str, ...] = ()


def choose(table: Table, target: Column) -> Chosen:
    """The parts of the columns beside the outcome."""
    rest = [column for column in table.columns if column is not target]
    dates = [column for column in rest if column.kind == "time"]
    time = _time(dates)
    entity = _entity(rest, time)
    left = dict.fromkeys(table.unreadable, "which holds lists or structures")
    features = []
    for column in rest:
        why = _why_not(column)
        if column not in (time, entity):
            if why is None:
                features.append(column)
            else:
                left[column.header] = why
    names: dict[str, str] = {column.header: name for name, column in (("entity", entity), ("time", time)) if column is not None}
    taken = set(names.values())
    for column in (*features, target):
        names[column.header] = _name(column.header, taken)
        taken.add(names[column.header].casefold())
    notes = (*_notes_of_dates(dates, time), *(_notes_of_persons(rest) if time is None or entity is None else ()))
    return Chosen(names, entity, time, tuple(features), left, notes)


def plain_texts(values: pd.Series) -> pd.Series:
    """As `problem.positive` names them: whole numbers without a point."""

    return pd.Series(texts_of(values), dtype="str")


def _fit(header: str) -> int:
    """NAMED, BEGUN, UNTOLD or UNFIT."""
    words = _words(header)
    if re.sub(r"[\W_]", "", words) in HEADERS["time"]:
        return NAMED
    if _UNFIT.search(words):
        return UNFIT
    return BEGUN if _BEGUN.search(words) else UNTOLD


def _time(dates: Sequence[Column]) -> Column | None:
    """The whole column of dates whose header fits best the day a row came in, the first of equals; none that is unfit."""
    fitting = [column for column in dates if column.values.notna().all() and _fit(column.header) != UNFIT]
    return min(fitting, key=lambda column: _fit(column.header), default=None)


def _notes_of_dates(dates: Sequence[Column], time: Column | None) -> list[str]:
    rivals = [column.header for column in dates if column is not time]
    if not rivals:
        return []
    if time is not None:
        return [
            f"time: {time.header!r} by its header, of several dates; the others are {listed(rivals)}. It must be the day on which a row "
            "came in: map another as `time` if that is it."
        ]
    whole = {column.header for column in dates if column.values.notna().all()}
    why = [f"{header!r} {'is none by its header' if header in whole else 'has empty cells'}" for header in rivals[:10]]
    return [
        f"no time, though there are dates: {', '.join(why)}{' ...' if len(rivals) > len(why) else ''}. If one is the day on which a row "
        "came in, map it as `time` in place of `date`, with `folds: {first_test: ...}`."
    ]


def _notes_of_persons(columns: Sequence[Column]) -> list[str]:
    """Rows are split at random, or by a time that tells no rows of one person apart: these columns may tell persons, who recur."""
    notes = []
    for column in columns:
        words, present = _words(column.header), column.values.dropna()
        if column.kind == "time" or not (_ID.search(words) or _PERSON.search(words)):
            continue
        if column.kind == "number" and not (present % 1 == 0).all():
            continue
        if 1 < present.nunique() < len(present):
            notes.append(
                f"careful: {column.header!r} recurs ({present.nunique():,} values in {len(present):,} rows), so one person's rows may lie "
                "in training and in test, and the figures flatter then: keep one row of each, or leave this if it is no person's."
            )
    return notes


def _entity(columns: Sequence[Column], time: Column | None) -> Column | None:
    """The column of ids: called so, whole, and no two rows of one date share one."""
    for column in columns:
        if column.kind == "time" or not _ID.search(_words(column.header)):
            continue
        texts = plain_texts(column.values)
        keys = texts if time is None else pd.Series(list(zip(texts, time.values, strict=True)))
        if texts.notna().all() and not keys.duplicated().any() and all(map(_is_name, texts.unique())):
            return column
    return None


def _words(header: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", header).lower()


def _is_name(text: str) -> bool:
    try:
        check_name(text, "entity")
    except FinflowError:
        return False
    return True


def _why_not(column: Column) -> str | None:
    """Why no feature is made of a column."""
    if column.kind == "time":
        return "which is a date"
    distinct, present = column.values.nunique(), int(column.values.notna().sum())
    if distinct < 2:
        return "which has one value, or none"
    if column.kind == "text" and distinct > MOST_DISTINCT * present:
        return "nearly every row of which has a value of its own"
    return None


def _name(header: str, taken: set[str]) -> str:
    """What a column is called: its header, but for what no name may hold, and for names that mean something else.

    Args:
        taken: case-folded names.
    """
    plain = re.sub(r'[/\\:*?"<>|\x00-\x1f]+', "_", header).replace("..", "_").strip(" ._=+-@")[:LONGEST_NAME].rstrip(" ._=+-@")
    name = plain if plain and _is_name(plain) and not plain.startswith("__") else "column"
    name += "_value" if name.casefold() in (*STANDARD, *RESERVED, "date") else ""
    free, number = name, 2
    while free.casefold() in taken:
        free, number = f"{name}_{number}", number + 1
    return free
