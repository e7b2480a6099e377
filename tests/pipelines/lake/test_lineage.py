"""Which versions led to the champion."""

from __future__ import annotations

from finflow.pipelines.lake.lineage import lineage
from finflow.pipelines.lake.promotions import PromotionRow


def row(number: int, verdict: str, version: int | None, **evidence: str) -> PromotionRow:
    return PromotionRow(f"run {number}", verdict, "lstm", "", version, None, f"2024-01-{number:02d}T00:00:00+00:00", "", evidence=evidence)


def versions(*rows: PromotionRow) -> list[int | None]:
    return [found.version for found in lineage(rows)]


def test_a_refresh_continues_a_line_and_a_promotion_begins_one() -> None:
    first = [row(1, "reference", 1), row(2, "promoted", 2), row(3, "kept", 2), row(4, "refreshed", 3), row(5, "refreshed", 4)]
    assert versions() == []
    assert versions(*first[:1]) == [1]
    assert versions(*first[:3]) == [2]
    assert versions(*first) == [2, 3, 4]
    assert versions(*first, row(6, "kept", 4), row(7, "demoted", 5)) == [5]
    assert [found.verdict for found in lineage(first)] == ["promoted", "refreshed", "refreshed"], "the rows that made them"


def test_what_a_person_approved_is_what_was_proposed() -> None:
    rows = [row(1, "pending", 1, proposed="promoted"), row(2, "approved", 1), row(3, "pending", 2, proposed="refreshed"), row(4, "kept", 1)]
    assert versions(*rows) == [1], "what waits is no champion"
    assert versions(*rows, row(5, "approved", 2)) == [1, 2]
    assert versions(*rows, row(5, "rejected", 2), row(6, "refreshed", 3)) == [1, 3]


def test_after_a_rollback_the_line_is_that_of_the_version_that_came_back() -> None:
    rows = [row(1, "promoted", 1), row(2, "refreshed", 2), row(3, "promoted", 3), row(4, "rolled-back", 2)]
    assert versions(*rows) == [1, 2]
    assert versions(*rows, row(5, "refreshed", 4)) == [1, 2, 4]
