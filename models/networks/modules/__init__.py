"""The torch modules of the networks over windows."""
