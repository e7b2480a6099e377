"""A run beside its stages: events, late data, missed and dead runs."""

#: the work pool of this machine, and the worker that takes runs out of it
POOL = "finflow"
