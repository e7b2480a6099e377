"""Approving, rolling back, status and arrivals."""
