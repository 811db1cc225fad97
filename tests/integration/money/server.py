"""`python -m tests.integration.money.server serve`: the real server, its payments at a sandbox of another process.

SANDBOX_URL, SANDBOX_KEY and SANDBOX_WEBHOOK_SECRET say where and with which keys.
"""

import os
import sys
from typing import Any

import signaling.paymentparts
from signaling.cli import main
from signaling.payments.stripe import StripePayments


def _at_the_other_process(settings: Any, hands: Any) -> Any:
    service = StripePayments(
        os.environ["SANDBOX_KEY"],
        http=hands.http,
        mode=settings.mode,
        account=settings.account,
        webhook_secret=os.environ["SANDBOX_WEBHOOK_SECRET"],
        api_base=os.environ["SANDBOX_URL"],
        timeout_s=5.0,
    )
    return service, None


def use_the_other_process() -> None:
    """For every server that this process builds from now on."""
    signaling.paymentparts._over_the_sandbox = _at_the_other_process  # type: ignore[assignment]


if __name__ == "__main__":
    use_the_other_process()
    sys.exit(main())
