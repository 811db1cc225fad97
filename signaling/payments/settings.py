"""What the composition root tells the payments."""

from dataclasses import dataclass
from typing import Literal

from metering.orders import Mode
from signaling.stores.shelf import Books, Shelf


@dataclass(frozen=True, slots=True)
class PaymentsSettings:
    """`public_url` without a trailing slash. Durations in seconds; the defaults are the product's rules."""

    mode: Mode
    account: str
    public_url: str
    publishable_key: str = ""
    checkout_ui: Literal["hosted", "embedded"] = "hosted"
    reservation_s: int = 600
    checkout_life_s: int = 31 * 60  # Stripe's minimum is 30 minutes from when it gets the request
    away_grace_s: int = 60  # a host away so long: open Checkout Sessions are expired
    patience_s: int = 300  # a payment that cannot be served waits so long
    sweep_every_s: float = 1.0
    catch_up_every_s: int = 300
    earnings_days: int = 15  # after a sale, until its payee's part is available
    receipts: bool = False  # are mailed: this server sends mail
    connect: bool = False  # hosts are paid out to accounts of their own
    beside: tuple[Books, ...] = ()  # of the other sets of keys of this server
    main: bool = True  # of a server with several sets: the one that also takes what is nobody's

    def own_page(self, path: str) -> str:
        """The address of a page of who is signed in; `path` may have a query. One of a further set says its mode."""
        mark = "&" if "?" in path else "?"
        return f"{self.public_url}{path}" if self.main else f"{self.public_url}{path}{mark}mode={self.mode}"

    @property
    def shelf(self) -> Shelf:
        return Shelf((self.mode, self.account), self.beside, self.main)

    @property
    def sandbox(self) -> bool:
        return self.mode == "sandbox"
