"""How a piece of work that the outbox asks for may end short of done."""


class LaterError(Exception):
    """Not yet: try again in `after_s`. `counts`: as a failed attempt, of which there are so many."""

    def __init__(self, message: str, after_s: int, *, counts: bool = True) -> None:
        super().__init__(message)
        self.after_s = after_s
        self.counts = counts


class ImpossibleError(Exception):
    """It will never work: the operator is told."""
