"""Columns made of an entity's own past."""
