"""What an evaluation may show and decide, by what was looked at before it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from finflow.models.samples import SampleIndex
from finflow.pipelines.evaluation.sight import Before, Opening, opening

MADE = Callable[..., SampleIndex]


def ask(index: SampleIndex, before: Before, needed: int = 60, *, stratified: bool = False, independent: bool = False) -> Opening:
    entities = np.array([f"E{number}" for number in range(len(index))]) if stratified else np.array(["A"] * len(index))

    def closed(dates: int, unseen: int, looks: int) -> str | None:
        return f"{unseen} of {dates}" if looks and unseen < needed else None

    return opening(index, entities, before, closed, independent=independent, stratified=stratified)


def until(date: str, looks: int = 1, entities: frozenset[str] = frozenset()) -> Before:
    return Before(looks, looks, 0.05, 0.03, np.datetime64(date, "D"), entities)


def test_nobody_looked(index_of: MADE) -> None:
    found = ask(index_of(1, 100), Before(0, 0, 0.05, 0.0, None))
    assert (found.challenge, found.dates, found.sealed, found.decided_after) == (1, 100, 0, None)
    assert found.shown.all()
    assert found.decides.all()


def test_a_label_that_spans_several_dates_is_seen_when_it_has_ended(index_of: MADE) -> None:
    """Labels of five dates; looked at up to 9 February. That of 4 February ended then; that of 9 February began after."""
    index = index_of(5, 100)  # from 2020-01-01 on
    found = ask(index, until("2020-02-09"))
    assert (found.challenge, found.sealed, found.closed, found.sight.decided) == (2, 0, None, 61)
    assert found.shown.all()
    days = index.time[found.decides].astype("datetime64[D]")
    assert (str(days.min()), found.decided_after) == ("2020-02-09", "2020-02-08")


def test_sealed_until_there_are_enough(index_of: MADE) -> None:
    index = index_of(5, 90)
    found = ask(index, until("2020-02-09"))
    assert (found.challenge, found.closed, found.sealed) == (0, "51 of 90", 51)
    assert not found.decides.any()
    assert index.time[found.shown].max() == np.datetime64("2020-02-04")
    assert found.sight.until == "2020-02-09"


def test_rows_of_different_things_are_seen_by_their_own_date(index_of: MADE) -> None:
    """A loan's label is known a year later: what counts is whose outcome was shown."""
    found = ask(index_of(5, 90), until("2020-02-09"), independent=True)
    assert (int(found.shown.sum()), found.sealed) == (40, 50)


def test_without_a_time_what_was_not_looked_at_is_unseen(index_of: MADE) -> None:
    index = index_of(1, 100)
    seen = frozenset(f"E{number}" for number in range(70))
    waiting = ask(index, until("2020-01-01", entities=seen), stratified=True)
    assert (int(waiting.shown.sum()), waiting.sealed, waiting.challenge) == (70, 30, 0)
    opens = ask(index, until("2020-01-01", entities=seen), 30, stratified=True)
    assert (opens.challenge, opens.decided_after, int(opens.decides.sum())) == (2, None, 30)
    assert opens.decides[70:].all()
