"""Amounts on the pages against the server's table: the same digits, written and read, in every currency."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from metering.currencies import CURRENCIES
from metering.money import MAX_AMOUNT_MINOR, Money

from .test_pages_scripts import _node

FORMAT = Path(__file__).parents[2] / "web" / "js" / "format.js"
SCRIPT = """
const { amountText, exponent, formatMoney, parseAmount } = await import(process.argv[1]);
const asked = JSON.parse(process.argv[2]);
console.log(JSON.stringify(asked.map(([currency, amount_minor]) => {
  const typed = amountText(amount_minor, exponent(currency));
  const money = { amount_minor, currency };
  return [typed, parseAmount(typed, exponent(currency)), formatMoney(money, "en"), formatMoney(money, "de")];
})));
"""
AMOUNTS = [0, 10, 100, 1250, 12_340, 5_678_900, MAX_AMOUNT_MINOR]


def _on_the_page(asked: list[tuple[str, int]]) -> list[tuple[str, int, str, str]]:
    command = [*_node(), "--input-type=module", "-e", SCRIPT, FORMAT.as_uri(), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [tuple(row) for row in json.loads(done.stdout)]


@pytest.mark.skipif(not _node(), reason="Node 18 or later is not installed")
def test_every_currency_is_written_and_read_with_the_digits_that_the_server_counts():
    asked = [(code, minor) for code in CURRENCIES for minor in AMOUNTS]
    for (code, minor), (typed, read, english, german) in zip(asked, _on_the_page(asked), strict=True):
        decimal = Money(minor, code).decimal()
        assert (typed, read) == (decimal, minor), code
        assert re.findall(r"\d[\d,]*(?:\.\d+)?", english)[-1].replace(",", "") == decimal, (code, english)
        point = re.findall(r"\d[\d.]*(?:,\d+)?", german)[0].replace(".", "")
        assert point.replace(",", ".") == decimal, (code, german)
