"""A stand-in for Stripe: the endpoints Tollroom uses, a page to pay on, signed webhooks. No real money, ever."""

from .app import Sandbox
from .errors import SandboxRefusedError

__all__ = ["Sandbox", "SandboxRefusedError"]
