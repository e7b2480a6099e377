"""The one rule for names: of definitions, candidates, features, columns, entities, people and exported files."""

import re
import unicodedata

from finflow.pipelines.core.errors import FinflowError

_FORBIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_FORBIDDEN_CHARACTERS = set('/\\:*?"<>|\0')
FORMULA = "=+-@"  # what a spreadsheet runs begins with one of these, also in full width


def check_name(name: str, what: str = "name") -> str:
    """Return `name` unchanged if it may name a thing in tables, paths, tags and URLs.

    Letters of any script, digits, spaces inside, `.`, `-`, `_`, `&`, `^`, `=` and the like are fine (^GSPC, GC=F, 贵州茅台); `..`, path
    separators, control and direction marks, line breaks, dots and blanks at either end, what begins like a spreadsheet's formula (= + - @),
    and more than 100 characters are not.

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
    elif ".." in name or name != name.strip() or name[0] == "." or name[-1] == ".":
        problem = "holds '..', or begins or ends with a dot or a blank"
    elif begins_formula(name):
        problem = "begins with = + - or @, as a spreadsheet's formula does"
    if problem:
        raise FinflowError(f"{what} {name!a} {problem}: use letters, digits, '-', '_' and single dots.")
    return name


def begins_formula(text: str) -> bool:
    """Whether a spreadsheet would run a cell of this text: it begins with = + - @, also in full width, maybe behind a tab or break."""
    shown = text.lstrip("\t\r\n ")
    return (bool(shown) and unicodedata.normalize("NFKC", shown[0]) in FORMULA) or text[:1] in ("\t", "\r", "\n")


def check_identifier(name: str, what: str = "name") -> str:
    """Return `name` if it is a lower-case identifier with dashes: what definitions and candidates are called.

    Raises:
        FinflowError: it is not.
    """
    check_name(name, what)
    if not re.fullmatch(r"[^\W_][\w-]*", name) or name != name.lower():
        raise FinflowError(f"{what} {name!a}: use lower-case letters, digits, '-' and '_', beginning with a letter or digit.")
    return name
