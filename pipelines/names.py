"""The one rule for names of definitions, candidates, features and entities."""

import re
import unicodedata

from pipelines.errors import FinflowError

_FORBIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_FORBIDDEN_CHARACTERS = set('/\\:*?"<>|\0')


def check_name(name: str, what: str = "name") -> str:
    """Return `name` unchanged if it may name a thing in tables, paths, tags and URLs.

    Letters of any script, digits, spaces inside, `.`, `-`, `_`, `&`, `^`, `=` and the like are fine; `..`, path separators,
    control and direction marks, line breaks, leading dots, dashes or blanks, and more than 100 characters are not.

    Raises:
        FinflowError: the name breaks the rule; the message shows it escaped.
    """
    problem = None
    if not name:
        problem = "is empty"
    elif len(name) > 100:
        problem = "is longer than 100 characters"
    elif any(unicodedata.category(character) in _FORBIDDEN_CATEGORIES for character in name):
        problem = "holds a control, direction or line-break character"
    elif any(character in _FORBIDDEN_CHARACTERS for character in name):
        problem = 'holds one of / \\ : * ? " < > |'
    elif ".." in name or name[0] in ".- " or name[-1] in ". ":
        problem = "holds '..', or begins or ends with a dot, a dash or a blank"
    if problem:
        raise FinflowError(f"{what} {name!a} {problem}: use letters, digits, '-', '_' and single dots.")
    return name


def check_identifier(name: str, what: str = "name") -> str:
    """Return `name` if it is a lower-case identifier with dashes: what definitions and candidates are called.

    Raises:
        FinflowError: it is not.
    """
    check_name(name, what)
    if not re.fullmatch(r"[^\W_][\w-]*", name) or name != name.lower():
        raise FinflowError(f"{what} {name!a}: use lower-case letters, digits, '-' and '_', beginning with a letter or digit.")
    return name
