"""A run beside its stages: events, late data, missed and dead runs."""
