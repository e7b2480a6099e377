"""The errors that a person can cause and mend; the command line prints them without a traceback."""

import unicodedata

from finflow.pipelines.core.redaction import redacted

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


class FinflowError(Exception):
    """A mistake or a refusal that a person can act on.

    The message names the thing at fault (file, column, row, key), what was expected, and what to do. Whatever it was made of, it holds no
    secret, and nothing that could move a terminal's cursor or turn text around.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(_visible(redacted(message)))


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


class OutdatedError(RegistryError):
    """A version that is whole, but that this code may not serve any more: its features come out otherwise, or it is of an older format.

    Its recipe can be fitted again, which a training does at once; so it is no champion that failed.

    Attributes:
        change: what is otherwise, in a few words, without what to do about it.
    """

    def __init__(self, message: str = "", change: str = "") -> None:
        super().__init__(message)
        self.change = change


class LeakageError(FinflowError):
    """Samples that may know the future: nothing is fitted on them, and no test outcome is looked at."""


class ConflictError(FinflowError):
    """Another run wrote first; the message says what it decided."""


class StateError(FinflowError):
    """State on disk of another schema version, or damaged."""


class UnreachableError(FinflowError):
    """A server that finflow needs does not answer; the same command goes on once it does."""


class DiskFullError(FinflowError):
    """No room for what was to be written; what was there before stays readable."""


def _visible(text: str) -> str:
    """The text with control, direction and surrogate characters written out; line breaks stay."""
    return "".join(
        ascii(character)[1:-1] if unicodedata.category(character) in _HIDDEN and character != "\n" else character for character in text
    )


class SinkError(FinflowError):
    """Scores that a definition's sink does not take; they are in the lake, and the same command again sends them."""
