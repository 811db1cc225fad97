"""Errors that are answered to the caller. Everything else is our fault: logged, answered 500 `internal`."""


class ApiError(Exception):
    """The caller's fault or a state it must know. `code` is stable (API.md), `status` the HTTP status; after
    `retry_after_s` the same call may be answered otherwise."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, object]:
        error: dict[str, object] = {"code": self.code, "message": self.message}
        if self.field is not None:
            error["field"] = self.field
        return {"error": error}


class ConfigError(Exception):
    """The operator's fault: the server refuses to start and says why."""
