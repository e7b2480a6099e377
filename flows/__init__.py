"""Prefect, and nothing else: which stage runs when, and how it is tried again; one file a flow."""
