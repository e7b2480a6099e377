"""Whether a drafted definition trains."""

from __future__ import annotations

from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition


def can_train(made: Definition, home: Home) -> int:
    """Through the contract, the windows and the folds; returns the number of folds."""
    from finflow.pipelines.data.contract import validate
    from finflow.pipelines.data.ingest import ingest
    from finflow.pipelines.data.knowledge import resolve_as_of
    from finflow.pipelines.samples.folds import make_folds
    from finflow.pipelines.samples.windows import open_samples, store_samples

    raw = ingest(open_context(made, home))
    as_of = resolve_as_of(open_context(made, home), None)
    clean = validate(open_context(made, home), raw, as_of)
    assert clean.quarantined == 0
    return len(make_folds(made, open_samples(store_samples(open_context(made, home), clean).folder).index, as_of))
