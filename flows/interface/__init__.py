"""The Python interface: what a person calls from a notebook. It calls what the commands call."""
