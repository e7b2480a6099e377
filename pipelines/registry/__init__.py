"""Versions: made, checked, loaded; and their aliases."""
