"""Errors of the metering core. Each says whose fault it is.

`RefusedError` is the caller's input: a person may be told, by its stable `code`. `MeterError` is a mistake in the
program around us (an event that cannot happen in that state, a transfer that does not balance): tell the developer.
"""


class RefusedError(ValueError):
    """Input that we do not accept. `code` is stable and goes out on the wire."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UnknownCurrencyError(RefusedError):
    def __init__(self, currency: object) -> None:
        super().__init__("unknown_currency", f"no such currency: {str(currency)[:20]!r}")


class BadTariffError(RefusedError):
    """The tariff is malformed: a field is missing, of another type, or absurd."""

    def __init__(self, message: str, code: str = "bad_tariff") -> None:
        super().__init__(code, message)


class BelowMinimumError(BadTariffError):
    """The price is under the smallest amount that can be charged in that currency."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="below_minimum")


class MeterError(RuntimeError):
    """The caller broke the protocol of this package; nothing was changed."""
