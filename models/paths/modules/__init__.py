"""The torch modules of the generator of scenarios."""
