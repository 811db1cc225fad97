"""The SDK's class annotations as a schema.

stripe-python's classes are generated from Stripe's own specification at exactly the version in use, so walking
their annotations says whether an answer has the shape Stripe's would have: required fields, types, nothing
unknown, and values of the enums (which the SDK leaves open as `Literal | str`; here they are closed).
It proves shape, not behaviour.
"""

import importlib
from collections.abc import Iterator
from decimal import Decimal
from types import NoneType
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin

import stripe
from stripe._list_object import ListObject
from stripe._object_classes import OBJECT_CLASSES, V2_OBJECT_CLASSES
from stripe._stripe_object import StripeObject, UntypedStripeObject

# How a class is called in annotations, where that is not its own name.
ALIASES = {"DisputeResource": "Dispute", "CardResource": "Card"}


def problems(answer: dict[str, Any]) -> list[str]:
    """What is wrong with an answer that carries its `object` name; empty when it is as Stripe's would be."""
    kind = answer.get("object")
    if kind == "list":
        return [found for item in answer["data"] for found in problems(item)] + _list_problems(answer)
    if "error" in answer:
        return list(_object(answer["error"], stripe.ErrorObject, "error"))
    cls = class_of(kind)
    return [f"no class for object {kind!r}"] if cls is None else list(_object(answer, cls, str(kind)))


def class_of(kind: object) -> type | None:
    entry = OBJECT_CLASSES.get(kind) or V2_OBJECT_CLASSES.get(kind)
    return None if entry is None else getattr(importlib.import_module(entry[0]), entry[1])


def fields_of(cls: type) -> dict[str, Any]:
    return {name: annotation for name, annotation in cls.__annotations__.items() if name != "OBJECT_NAME"}


def is_required(annotation: Any) -> bool:
    return not (get_origin(annotation) is Union and NoneType in get_args(annotation))


def _list_problems(answer: dict[str, Any]) -> list[str]:
    wanted = {"object": str, "data": list, "has_more": bool, "url": str}
    wrong = [name for name, kind in wanted.items() if not isinstance(answer.get(name), kind)]
    return [f"list.{name}: missing or of another type" for name in wrong] + [
        f"list.{name}: unknown field" for name in answer.keys() - wanted.keys()
    ]


def _object(value: Any, cls: type, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no object"
        return
    fields = fields_of(cls)
    for name in value.keys() - fields.keys():
        yield f"{path}.{name}: unknown field"
    for name, annotation in fields.items():
        if name in value:
            yield from _value(value[name], annotation, f"{path}.{name}")
        elif is_required(annotation):
            yield f"{path}.{name}: missing"


def _value(value: Any, annotation: Any, path: str) -> Iterator[str]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is not None:
        yield from _GENERIC[origin](value, arguments, path)
    elif isinstance(annotation, ForwardRef | str):
        reference = ForwardRef(annotation) if isinstance(annotation, str) else annotation
        yield from _named(value, [reference], path)
    elif isinstance(annotation, type) and issubclass(annotation, StripeObject):
        yield from _object(value, annotation, path)
    elif annotation is not Any and not _is_scalar(value, annotation):
        yield f"{path}: {value!r} is no {annotation}"


def _literal(value: Any, arguments: tuple[Any, ...], path: str) -> Iterator[str]:
    # `True == 1`: the types must agree as well.
    if not any(value == one and type(value) is type(one) for one in arguments):
        yield f"{path}: {value!r} is not one of {arguments[:8]}"


def _is_scalar(value: Any, annotation: Any) -> bool:
    if annotation is Decimal:
        return isinstance(value, str)
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is annotation


def _union(value: Any, choices: tuple[Any, ...], path: str) -> Iterator[str]:
    if value is None:
        if NoneType not in choices:
            yield f"{path}: null"
        return
    literals = [one for choice in choices if get_origin(choice) is Literal for one in get_args(choice)]
    if literals and isinstance(value, str):
        if value not in literals:
            yield f"{path}: {value!r} is not one of {literals[:8]}"
        return
    references = [choice for choice in choices if isinstance(choice, ForwardRef)]
    if references and isinstance(value, dict):
        yield from _named(value, references, path)
        return
    tries = [list(_value(value, choice, path)) for choice in choices if choice is not NoneType]
    if all(tries):
        yield from min(tries, key=len)


def _named(value: Any, references: list[ForwardRef], path: str) -> Iterator[str]:
    """An object of another class, which annotations name and the value tells by its `object`."""
    names = {reference.__forward_arg__ for reference in references}
    if names & {"PaymentMethod", "PaymentIntent"} and not isinstance(value, dict):
        yield f"{path}: {value!r} is no object"
        return
    cls = class_of(value.get("object")) if isinstance(value, dict) else None
    if cls is None or cls.__name__ not in {ALIASES.get(name, name) for name in names}:
        yield f"{path}: no {' or '.join(sorted(names))}"
        return
    yield from _object(value, cls, path)


def _items(value: Any, arguments: tuple[Any, ...], path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: {value!r} is no list"
        return
    for index, item in enumerate(value):
        yield from _value(item, arguments[0], f"{path}[{index}]")


def _page(value: Any, arguments: tuple[Any, ...], path: str) -> Iterator[str]:
    if not isinstance(value, dict) or value.get("object") != "list":
        yield f"{path}: {value!r} is no list object"
        return
    yield from (f"{path}: {found}" for found in _list_problems(value))
    yield from _items(value["data"], arguments, f"{path}.data")


def _mapping(value: Any, arguments: tuple[Any, ...], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no object"
        return
    for name, item in value.items():
        yield from _value(item, arguments[-1], f"{path}.{name}")


_GENERIC = {
    Union: _union,
    Literal: _literal,
    list: _items,
    dict: _mapping,
    ListObject: _page,
    UntypedStripeObject: _mapping,
}
