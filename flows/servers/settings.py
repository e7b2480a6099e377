"""What a person may say about the servers of `finflow up`: a YAML file, or FINFLOW_SECURE=1 alone."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.servers import read_stack
from finflow.pipelines.core.settings import Settings

FILE = "servers.yaml"
LOOPBACK = "127.0.0.1"


class ServerSettings(Settings):
    """How the servers listen, and to whom they answer."""

    secure: bool = Field(default=False, description="ask for credentials; generated at the first start, in files of mode 600")
    host: str = Field(default=LOOPBACK, description="the IP address to listen on; another than loopback needs `secure`")
    prefect_port: int | None = Field(default=None, ge=1, le=65535, description="default: a free one, kept for this home")
    mlflow_port: int | None = Field(default=None, ge=1, le=65535, description="default: a free one, kept for this home")
    allowed_hosts: tuple[str, ...] = Field(default=(), description="names that people reach the servers by, beside loopback")
    origins: tuple[str, ...] = Field(default=(), description="origins of other web pages that may call the servers (https://...)")
    prefect_url: str | None = Field(default=None, description="the Prefect server as browsers reach it, where that is not host and port")
    runs: int = Field(default=4, ge=1, description="flow runs that the worker carries out at the same time")

    @model_validator(mode="after")
    def _safe(self) -> ServerSettings:
        try:
            address = ipaddress.IPv4Address(self.host)
        except ValueError:
            raise ValueError(f"host is the IPv4 address to listen on (127.0.0.1, 0.0.0.0), got {self.host!r}") from None
        if not address.is_loopback and not self.secure:
            raise ValueError(f"host {self.host} is reached from other machines: set `secure: true`, or leave host out")
        if "*" in self.allowed_hosts or "*" in self.origins:
            raise ValueError("`*` would let every host name or web page in: name those that may")
        if self.prefect_port is not None and self.prefect_port == self.mlflow_port:
            raise ValueError(f"prefect_port and mlflow_port are both {self.prefect_port}")
        return self

    @property
    def client_host(self) -> str:
        """The address by which this machine's own commands reach the servers."""
        return LOOPBACK if ipaddress.IPv4Address(self.host).is_unspecified else self.host


def read_settings(home: Home) -> ServerSettings:
    """The file that FINFLOW_SERVERS names, else `servers.yaml` in the home, else the defaults.

    FINFLOW_SECURE=1 or 0 decides `secure`. Where neither says anything of it, servers that were secured once stay so.

    Raises:
        FinflowError: the file is missing or breaks a rule; the message names it and the key.
    """
    import yaml

    named = os.environ.get("FINFLOW_SERVERS")
    path = Path(named).expanduser() if named else home.root / FILE
    values: object = {}
    if named or path.exists():
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise FinflowError(f"the servers' settings {path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise FinflowError(f"the servers' settings {path} are keys and values, got {type(values).__name__}")
    secure = os.environ.get("FINFLOW_SECURE")
    if secure:
        if secure not in ("0", "1"):
            raise FinflowError(f"FINFLOW_SECURE is 1 or 0, got {secure!r}")
        values = {**values, "secure": secure == "1"}
    before = read_stack(home.servers)
    if "secure" not in values and before is not None and before.secure:
        values = {**values, "secure": True}
    try:
        return ServerSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "settings"
        raise FinflowError(f"the servers' settings ({path}): {place}: {first['msg'].removeprefix('Value error, ')}") from None
