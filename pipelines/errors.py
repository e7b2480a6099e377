"""The errors that a person can cause and mend; the command line prints them without a traceback."""


class FinflowError(Exception):
    """A mistake or a refusal that a person can act on.

    The message names the thing at fault (file, column, row, key), what was expected, and what to do.
    """


class DefinitionError(FinflowError):
    """A definition that cannot be read or does not fit the schema."""


class SourceError(FinflowError):
    """Input data that cannot be read as its source says."""


class ContractError(FinflowError):
    """A batch that breaks a critical rule of its contract."""


class NotEnoughHistoryError(FinflowError):
    """Too few observations; the message says how many are needed."""


class FitError(FinflowError):
    """A fit that did not end in a usable model (a NaN loss, say)."""


class FitLostError(FitError):
    """A fit whose process was lost (killed, out of memory): it says nothing of the model, and another try may end otherwise."""


class RegistryError(FinflowError):
    """A version that is missing, disagrees with the promotions table, or may not be loaded."""


class ConflictError(FinflowError):
    """Another run wrote first; the message says what it decided."""


class StateError(FinflowError):
    """State on disk of another schema version, or damaged."""
