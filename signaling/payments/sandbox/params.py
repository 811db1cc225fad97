"""Stripe's form encoding (`line_items[0][price_data][currency]=eur`) read into typed values, or refused.

Whatever is not asked for by name is refused with `parameter_unknown`, as Stripe does: a misspelt parameter
must not pass the tests here and fail in production.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .errors import StripeError

Json = dict[str, Any]

PAIRS_MAX = 1000
DEPTH_MAX = 6
METADATA_KEYS_MAX = 50
METADATA_KEY_CHARS_MAX = 40
METADATA_VALUE_CHARS_MAX = 500

_KEY = re.compile(r"([A-Za-z0-9_.]+)((?:\[[A-Za-z0-9_.:\- ]*\])*)")
_INTEGER = re.compile(r"-?[0-9]{1,15}")


def parse_form(pairs: Iterable[tuple[str, str]]) -> Json:
    """Nested dictionaries from bracketed names; lists stay dictionaries keyed by their index until read."""
    root: Json = {}
    for count, (name, value) in enumerate(pairs):
        if count >= PAIRS_MAX:
            raise StripeError(f"More than {PAIRS_MAX} parameters in one request")
        _assign(root, _path(name), value, name)
    return root


def _path(name: str) -> list[str]:
    match = _KEY.fullmatch(name)
    if match is None:
        raise StripeError(f"Invalid parameter name: {name[:80]}", param=name[:80])
    path = [match[1], *re.findall(r"\[([^\]]*)\]", match[2])]
    if len(path) > DEPTH_MAX:
        raise StripeError(f"Parameter nested too deeply: {name[:80]}", param=name[:80])
    return path


def _assign(root: Json, path: list[str], value: str, name: str) -> None:
    node = root
    for step in path[:-1]:
        child = node.setdefault(step, {})
        if not isinstance(child, dict):
            raise StripeError(f"Invalid parameter: {name[:80]}", param=name[:80])
        node = child
    last = path[-1] or str(len(node))  # `expand[]=a&expand[]=b` appends
    node[last] = value


def flatten(text: str) -> list[tuple[str, str]]:
    """A JSON body (`/v2`) in the form's own terms, so that both halves are read and refused alike."""
    try:
        body = json.loads(text or "{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise StripeError("Invalid JSON body")
    return [pair for name, value in body.items() for pair in _flat(name, value)]


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict | list):
        children = value.items() if isinstance(value, dict) else enumerate(value)
        for key, child in children:
            yield from _flat(f"{name}[{key}]", child)
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    else:
        yield name, "" if value is None else str(value)


class Params:
    """Parameters at one level. Each reader takes its parameter away; `finish` refuses what is left."""

    def __init__(self, values: Mapping[str, Any], prefix: str = "") -> None:
        self._left = dict(values)
        self._prefix = prefix

    def name(self, key: str) -> str:
        return f"{self._prefix}[{key}]" if self._prefix else key

    def has(self, key: str) -> bool:
        return key in self._left

    def text(self, key: str, *, chars_max: int = 5000) -> str | None:
        """None when absent. An empty string unsets a value at Stripe, so it reads as absent too."""
        value = self._left.pop(key, None)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise self._invalid(key, "Invalid string")
        if len(value) > chars_max:
            message = f"Invalid string: {value[:20]}…; must be at most {chars_max} characters"
            raise StripeError(message, param=self.name(key))
        return value

    def required_text(self, key: str, *, chars_max: int = 5000) -> str:
        value = self.text(key, chars_max=chars_max)
        if value is None:
            raise self.missing(key)
        return value

    def integer(self, key: str, *, low: int | None = None, high: int | None = None) -> int | None:
        text = self.text(key)
        if text is None:
            return None
        if not _INTEGER.fullmatch(text):
            raise StripeError(
                f"Invalid integer: {text[:40]}", code="parameter_invalid_integer", param=self.name(key)
            )
        value = int(text)
        if low is not None and value < low:
            raise StripeError(f"This value must be greater than or equal to {low}.", param=self.name(key))
        if high is not None and value > high:
            raise StripeError(f"This value must be less than or equal to {high}.", param=self.name(key))
        return value

    def required_integer(self, key: str, *, low: int | None = None) -> int:
        value = self.integer(key, low=low)
        if value is None:
            raise self.missing(key)
        return value

    def flag(self, key: str) -> bool | None:
        text = self.text(key)
        if text is None:
            return None
        if text not in ("true", "false"):
            raise self._invalid(key, "Invalid boolean")
        return text == "true"

    def choice(self, key: str, allowed: tuple[str, ...]) -> str | None:
        text = self.text(key)
        if text is not None and text not in allowed:
            raise StripeError(
                f"Invalid {self.name(key)}: must be one of {', '.join(allowed)}", param=self.name(key)
            )
        return text

    def group(self, key: str) -> "Params | None":
        value = self._left.pop(key, None)
        if value is None or value == "":
            return None
        if not isinstance(value, dict):
            raise self._invalid(key, "Invalid object")
        return Params(value, self.name(key))

    def groups(self, key: str) -> list["Params"]:
        return [self._as_group(key, index, value) for index, value in self._sequence(key)]

    def texts(self, key: str) -> list[str]:
        values = [value for _, value in self._sequence(key)]
        if not all(isinstance(value, str) for value in values):
            raise self._invalid(key, "Invalid array")
        return values

    def metadata(self, key: str = "metadata") -> dict[str, str]:
        value = self._left.pop(key, None)
        if value is None or value == "":
            return {}
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise self._invalid(key, "Invalid object")
        if len(value) > METADATA_KEYS_MAX:
            raise StripeError(f"Metadata can have at most {METADATA_KEYS_MAX} keys", param=self.name(key))
        for name, text in value.items():
            if len(name) > METADATA_KEY_CHARS_MAX or len(text) > METADATA_VALUE_CHARS_MAX:
                raise StripeError(
                    "Metadata keys hold 40 characters, values 500", param=f"{self.name(key)}[{name}]"
                )
        return {name: text for name, text in value.items() if text}

    def finish(self) -> None:
        for key in self._left:
            message = (
                f"Received unknown parameter: {self.name(key)} (or one that the sandbox does not simulate)"
            )
            raise StripeError(message, code="parameter_unknown", param=self.name(key))

    def missing(self, key: str) -> StripeError:
        message = f"Missing required param: {self.name(key)}."
        return StripeError(message, code="parameter_missing", param=self.name(key))

    def _invalid(self, key: str, what: str) -> StripeError:
        return StripeError(f"{what}: {self.name(key)}", param=self.name(key))

    def _sequence(self, key: str) -> list[tuple[str, Any]]:
        value = self._left.pop(key, None)
        if value is None or value == "":
            return []
        if not isinstance(value, dict) or not all(index.isdigit() for index in value):
            raise self._invalid(key, "Invalid array")
        return sorted(value.items(), key=lambda item: int(item[0]))

    def _as_group(self, key: str, index: str, value: Any) -> "Params":
        if not isinstance(value, dict):
            raise self._invalid(key, "Invalid array")
        return Params(value, f"{self.name(key)}[{index}]")
