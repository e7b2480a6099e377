"""The torch modules of the networks over rows."""
