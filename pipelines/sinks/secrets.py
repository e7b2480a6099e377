"""URLs without secrets: a definition names environment variables, and their values appear in no message."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote

from pipelines.errors import SinkError

_PLACE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LOGIN = re.compile(r"://[^/?#]*?:([^/?#]*)@")
_QUERY = re.compile(r"[?&](?:password|passwd|pwd|sslpassword|token|secret|access_key|secret_key)=([^&#]*)", re.IGNORECASE)


def refuse_password(url: str, what: str) -> str:
    """Return `url` if no password stands in it; `${NAME}`, the value of an environment variable, may stand in its place.

    Raises:
        ValueError: one does; the message does not repeat it.
    """
    for pattern in (_LOGIN, _QUERY):
        for found in pattern.finditer(url):
            if found.group(1) and not _PLACE.fullmatch(found.group(1)):
                raise ValueError(f"{what} holds a password: put it in an environment variable and write ${{NAME}} in its place")
    return url


def expand(url: str) -> str:
    """The URL with every `${NAME}` replaced by the variable's value; within the login part it is quoted as a URL needs.

    Raises:
        SinkError: a variable is not set.
    """

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in os.environ:
            raise SinkError(f"sink: the environment variable {name} is not set, and the sink's URL names it.")
        inside = found.start() > 0  # a variable that holds the whole URL is taken as it is
        return quote(os.environ[name], safe="") if inside else os.environ[name]

    return _PLACE.sub(value, url)


def without_secrets(text: str, url: str) -> str:
    """`text` in one line, with the values of the URL's variables, and any password in its expanded form, blotted out."""
    hidden = {os.environ.get(name, "") for name in _PLACE.findall(url)}
    for value in list(hidden):
        for pattern in (_LOGIN, _QUERY):
            hidden |= {found.group(1) for found in pattern.finditer(value)}
    hidden |= {quote(value, safe="") for value in hidden} | {unquote(value) for value in hidden}
    for value in sorted(hidden, key=len, reverse=True):
        if value:
            text = text.replace(value, "***")
    return " ".join(text.split())
