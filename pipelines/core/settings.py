"""Settings whose shape depends on a `kind` that a registry knows: sources and problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema


class Settings(BaseModel):
    """Base of everything a person writes: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ByKind:
    """Annotation: validate a mapping with the settings class that a registry holds under the mapping's `kind`.

    The registry is read at validation time, so that a kind registered later (by a test, by a plug-in) is known.
    """

    def __init__(self, what: str, classes: Callable[[], Mapping[str, type[Settings]]]) -> None:
        self.what = what
        self.classes = classes

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def validate(value: Any) -> Settings:
            classes = self.classes()
            if isinstance(value, Settings):
                return value
            if not isinstance(value, dict):
                raise ValueError(f"a {self.what} is a mapping with a `kind`, got {type(value).__name__}")
            kind = value.get("kind")
            if not isinstance(kind, str) or kind not in classes:
                raise ValueError(f"no {self.what} of kind {kind!r}: there are {', '.join(sorted(classes))}")
            return classes[kind].model_validate(value)

        return core_schema.no_info_plain_validator_function(
            validate,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.model_dump(mode="json")),
        )

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schemas = [_written_out(settings.model_json_schema()) for settings in self.classes().values()]
        return {"oneOf": schemas, "discriminator": {"propertyName": "kind"}}


def _written_out(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its parts in their places: a reference would count from the root of the schema that it is put into."""
    parts = schema.pop("$defs", {})

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(one) for one in value]
        if not isinstance(value, dict):
            return value
        name = str(value.get("$ref", "")).removeprefix("#/$defs/")
        return {key: put(one) for key, one in {**parts.get(name, {}), **value}.items() if key != "$ref" or name not in parts}

    written: dict[str, Any] = put(schema)
    return written
