"""`tollroom serve | invite | operator | erase | check | ledger`."""

import argparse
import asyncio
import os
import sys
import time
from datetime import date
from pathlib import Path

import uvloop

from mediaserver.errors import NoNativePlaneError, PortInUseError
from signaling import config, ledgerreport, logs
from signaling.addresses import is_email
from signaling.clock import SystemClock, rfc3339
from signaling.errors import ApiError, ConfigError
from signaling.ids import new_id, new_secret, secret_hash
from signaling.payments.stripe import API_VERSION
from signaling.people import erasing
from signaling.serve import say, serve
from signaling.stores import invitations, journal, people
from signaling.stores.checks import run_checks
from signaling.stores.database import Database, Transaction
from signaling.stores.migrations import upgrade

DAY_S = 86_400
LEDGER_HELP = (
    "The ledger of one set of keys, the main one unless said: balances, journal, and the journal as CSV."
)
PREFIX = "inv_"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="tollroom", description="Self-hosted paid video rooms.")
    commands = made.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run the server")
    invite = commands.add_parser("invite", help="print a link with which somebody can open a room")
    invite.add_argument("--uses", type=int, default=1, help="how many rooms it opens (default 1)")
    invite.add_argument("--days", type=int, default=7, help="how long it is good for (default 7)")
    invite.add_argument("--note", default="", help="for whom, to find it again")
    erase = commands.add_parser(
        "erase", help="replace somebody's name and address everywhere; the books stay"
    )
    erase.add_argument("email", help="the address they have or gave")
    operator = commands.add_parser("operator", help="make somebody an operator of this server")
    operator.add_argument("email", help="the address with which they sign in")
    operator.add_argument("--revoke", action="store_true", help="they are none any more, and are signed out")
    commands.add_parser("check", help="check the books; ends with 1 when something is wrong")
    books = commands.add_parser(
        "ledger", help="print the accounts; with an account or days, what moved", description=LEDGER_HELP
    )
    books.add_argument("--mode", choices=["sandbox", "test", "live"], help="of which set of keys")
    books.add_argument("--account", help="only that account, and its journal")
    books.add_argument("--from", dest="since", type=date.fromisoformat, help="first day (YYYY-MM-DD, UTC)")
    books.add_argument("--to", dest="until", type=date.fromisoformat, help="last day (YYYY-MM-DD, UTC)")
    books.add_argument("--csv", type=Path, metavar="FILE", help="write the journal there, for a spreadsheet")
    return made


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 done, 1 something is wrong with the books, 2 the configuration is refused,
    3 another process took this one's place."""
    given = parser().parse_args(arguments)
    try:
        settings = config.load()
        logs.configure(settings.log_level)
        return _run(given, settings)
    except (ConfigError, NoNativePlaneError, PortInUseError) as error:
        sys.stderr.write(f"tollroom: {error}\n")
        return 2


def _run(given: argparse.Namespace, settings: config.Settings) -> int:
    if given.command == "serve":
        return uvloop.run(serve(settings))
    if given.command == "invite":
        return asyncio.run(invite(settings, uses=given.uses, days=given.days, note=given.note))
    if given.command == "erase":
        return asyncio.run(erase(settings, given.email))
    if given.command == "operator":
        return asyncio.run(operator(settings, given.email, revoke=given.revoke))
    if given.command == "ledger":
        return asyncio.run(ledger(settings, given))
    return asyncio.run(check(settings))


async def invite(settings: config.Settings, *, uses: int, days: int, note: str) -> int:
    """Prints a link; its secret is stored as a hash only."""
    secret = new_secret(os.urandom, PREFIX)
    row = invitations.Invitation(
        id=new_id("invitation", os.urandom),
        secret_hash=secret_hash(secret),
        note=note,
        uses_left=uses,
        expires_at_s=int(time.time()) + days * DAY_S,
    )
    db = await _open(settings)
    await db.write(lambda tx: invitations.add(tx, row))
    await db.close()
    say(f"{settings.origin}/#invite={secret}")
    return 0


async def erase(settings: config.Settings, email: str) -> int:
    """Says what was erased; 1 when something hinders it. A server that runs shows closed rooms from its next look on."""
    db = await _open(settings)
    try:
        done = await erasing.erase(db, SystemClock(), email.strip().lower())
    except ApiError as refused:
        say(f"not erased: {refused.message}")
        return 1
    finally:
        await db.close()
    account = "the account and " if done.known else ""
    say(f"erased {account}{done.orders} orders; {len(done.room_ids)} rooms are closed")
    return 0


async def operator(settings: config.Settings, email: str, *, revoke: bool) -> int:
    """Somebody with that address is an operator from now on, known before or not."""
    address = email.strip().lower()
    if not is_email(address):
        raise ConfigError(f"{email!r} is not an e-mail address")
    fresh = people.User(
        new_id("usr", os.urandom), address, address.partition("@")[0], "user", rfc3339(time.time())
    )

    async def work(tx: Transaction) -> None:
        user = await people.known_or_new(tx, fresh)
        await people.set_role(tx, user.id, "user" if revoke else "operator")
        if revoke:
            await people.end_sessions(tx, user.id)

    db = await _open(settings)
    await db.write(work)
    await db.close()
    say(
        f"{address} is no operator any more"
        if revoke
        else f"{address} is an operator: {settings.origin}/signin"
    )
    return 0


async def check(settings: config.Settings) -> int:
    """Prints what is wrong with the books; 1 when an invariant is broken."""
    db = await _open(settings)
    problems = await run_checks(db)
    await db.close()
    for problem in problems:
        say(f"{problem.kind}: {problem.code} {problem.subject_id}: {problem.message}")
    say(f"Stripe API version {API_VERSION}")
    broken = any(problem.kind == "broken" for problem in problems)
    say("the books are broken" if broken else "the books hold")
    return 1 if broken else 0


async def ledger(settings: config.Settings, given: argparse.Namespace) -> int:
    """Prints accounts or journal, or writes the journal as CSV; 2 when the file cannot be written."""
    keys = next((one for one in settings.key_sets if given.mode in {None, one.mode}), None)
    if keys is None:
        raise ConfigError(f"there are no keys of mode {given.mode}")
    mode, account = keys.mode, keys.account
    asked = journal.Asked(
        account=given.account,
        since=None if given.since is None else ledgerreport.from_day(given.since),
        until=None if given.until is None else ledgerreport.to_day(given.until),
    )
    wants_lines = asked != journal.Asked()
    db = await _open(settings)
    try:
        async with db.read() as tx:
            found = journal.lines(tx, mode, account, asked)
            if given.csv is not None:
                count = await ledgerreport.write_csv(found, given.csv)
                say(f"{count} transfers of {mode}/{account} written to {given.csv}")
                return 0
            say(f"books of {mode}/{account}")
            if wants_lines:
                await ledgerreport.print_lines(found, say)
            if not wants_lines or given.account is not None:
                await ledgerreport.print_accounts(journal.accounts(tx, mode, account, given.account), say)
    except OSError as error:
        sys.stderr.write(f"tollroom: {error}\n")
        return 2
    finally:
        await db.close()
    return 0


async def _open(settings: config.Settings) -> Database:
    if settings.database_path is not None:
        settings.database_path.parent.mkdir(parents=True, exist_ok=True)
    await upgrade(settings.database_url)
    return Database(settings.database_url)


if __name__ == "__main__":
    sys.exit(main())
