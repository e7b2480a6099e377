"""Ranges of dates, and walking forward through them."""
