"""Plan, gate, decide, log, report."""
