"""What a model raises when it cannot be fitted."""


class FitFailure(Exception):
    """The fit did not end in a usable model: a loss that is not finite, or data that cannot be fitted. The message says which."""


class FitProcessLost(FitFailure):
    """One of the processes that trained together was killed: it says nothing of the model, and another try may end otherwise."""
