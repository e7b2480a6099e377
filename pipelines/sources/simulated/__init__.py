"""Rows that nobody lived: simulators with a known truth, bars and tables of rows."""
