"""Keeping secrets out of what is printed, logged and stored: every text that leaves goes through `redacted`."""

from __future__ import annotations

import re
import threading
from urllib.parse import quote

HIDDEN = "***"

# Greedy up to the last @: a password may hold any of : / ? # and @ itself where its owner forgot to quote it.
# What stands before the @ of an Azure address is a container.
_CREDENTIALS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?<!abfs://)(?<!abfss://)(?<!wasbs://)[^\s]*@")
_PARAMETER = re.compile(
    r"([?&;#][^=&;#\s]*(?:pass|pwd|secret|token|key|sig|credential|auth|session)[^=&;#\s]*=)[^&;#\s\"'<>)\]}]*", re.IGNORECASE
)
_SHORTEST = 4  # a shorter value would blot out half of every message; as a password in a URL it is hidden all the same

_LOCK = threading.Lock()
_KNOWN: dict[str, str] = {}


def redacted(text: str) -> str:
    """The text without the secrets in it.

    Hidden are the user and password of every URL, the values of query parameters that are named like a secret (token, api_key, sig ...),
    and every value that `pipelines.secrets.expand` has put in place of a `${NAME}`, which becomes `${NAME}` again. Rather too much is
    hidden than too little. Doing it twice changes nothing.
    """
    for value, name in sorted(_KNOWN.items(), key=lambda item: -len(item[0])):
        text = text.replace(value, name)
    return _PARAMETER.sub(rf"\1{HIDDEN}", _CREDENTIALS.sub(rf"\1{HIDDEN}@", text))


def remember(name: str, value: str) -> None:
    """Hide this value from now on in this process, as it stands and as it stands in a URL."""
    if len(value) < _SHORTEST:
        return
    with _LOCK:
        for form in (value, quote(value, safe=""), quote(value)):
            _KNOWN[form] = f"${{{name}}}"
