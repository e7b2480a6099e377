"""The stages, as plain functions and small classes."""
