"""Secrets by reference: a definition says `${NAME}`, and the value is read from the environment where it is used."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.redaction import redacted, remember

__all__ = ["expand", "redacted", "refuse_password"]

_PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LOGIN = re.compile(r"://[^/?#]*?:([^/?#]*)@")
_QUERY = re.compile(r"[?&](?:password|passwd|pwd|sslpassword|token|secret|access_key|secret_key)=([^&#]*)", re.IGNORECASE)


def refuse_password(url: str, what: str) -> str:
    """Return `url` if no password stands in it; `${NAME}`, the value of an environment variable, may stand in its place.

    Raises:
        ValueError: one does; the message does not repeat it.
    """
    for pattern in (_LOGIN, _QUERY):
        for login in pattern.finditer(url):
            if login.group(1) and not _PLACEHOLDER.fullmatch(login.group(1)):
                raise ValueError(f"{what} holds a password: put it in an environment variable and write ${{NAME}} in its place")
    return url


def expand(text: str) -> str:
    """The text with each `${NAME}` replaced by the environment variable NAME.

    In the login or the query of a URL the value is percent-encoded; elsewhere it is put as it stands, so that it may hold a whole URL or
    some folders. It is hidden by `redacted` from then on. Keep the text with its placeholders, and expand it where it is used: what is
    shown and stored then holds no secret in the first place.

    Raises:
        FinflowError: a variable that is not set, is empty, or holds a line break; the message names it.
    """

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        value = os.environ.get(name, "")
        if not value:
            raise FinflowError(f"{redacted(text)!a} reads the environment variable {name}, which is not set: export {name}=...")
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise FinflowError(f"the environment variable {name} holds a line break or control character, which no address can: mend it.")
        remember(name, value)
        for address in _LOGIN.finditer(value):  # the variable holds a whole URL: its password may be said alone
            remember(name, unquote(address[1]))
        before, after = text[: match.start()], text[match.end() :]
        login = re.search(r"://[^/?#]*$", before) and re.match(r"[^/?#]*@", after)
        return quote(value, safe="") if login or re.search(r"://.*\?", before) else value

    return _PLACEHOLDER.sub(value_of, text)
