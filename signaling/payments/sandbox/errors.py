"""Refusals in Stripe's words, so that the unmodified SDK raises its own exception for each."""

from typing import Any, Literal

ErrorType = Literal["api_error", "card_error", "idempotency_error", "invalid_request_error"]


class SandboxRefusedError(ValueError):
    """The sandbox was asked to run where it must not (a live key) or with settings that make no sense."""


class StripeError(Exception):
    """One error envelope: `{"error": {type, message, code?, param?, ...}}` with its HTTP status.

    `keeps_effects`: a declined card leaves its failed charge behind; every other refusal leaves nothing.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: ErrorType = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        keeps_effects: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.keeps_effects = keeps_effects
        fields = {"code": code, "message": message, "param": param, "type": kind, **more}
        self.body = {"error": {name: value for name, value in fields.items() if value is not None}}


def missing(what: str, object_id: str, *, param: str = "id", status: int = 404) -> StripeError:
    message = f"No such {what}: '{object_id}'"
    return StripeError(message, status=status, code="resource_missing", param=param)


def unexpected_state(message: str, code: str, **more: Any) -> StripeError:
    return StripeError(message, code=code, **more)
