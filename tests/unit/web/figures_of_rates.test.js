// The figures of rates as an operator writes them, and back.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FigureError, GROUPS, figureText, readFigure, readFigures } from "../../../web/js/admin/figures.js";

const figure = (name) => GROUPS.flatMap(({ figures }) => figures).find((one) => one.name === name);

const TABLE = [
  ["rate_minor_per_min", "1,50", "eur", 150],
  ["rate_minor_per_min", "150", "jpy", 150],
  ["price_minor", "5.00", "usd", 500],
  ["fee_percent_bp", "2.5", undefined, 250],
  ["fee_percent_bp", "0", undefined, 0],
  ["presets_s", "15, 30; 60", undefined, [900, 1800, 3600]],
  ["window_s", "1.5", undefined, 90],
  ["fee_on_top", "no", undefined, false],
  ["dispute_access", "keep", undefined, "keep"],
  ["earnings_days", "0", undefined, 0],
  ["terms_version", " 2 ", undefined, "2"],
  ["minimum", "charge", undefined, "charge"],
  ["automatic_tax", "yes", undefined, true],
  ["balance_low_minor", "2.50", "eur", 250],
  ["packages", "10 = 11,00; 25.00 = 28.00;", "eur", [{ price_minor: 1000, credit_minor: 1100, currency: "eur" }, { price_minor: 2500, credit_minor: 2800, currency: "eur" }]],
  ["packages", "10.00", "eur", [{ price_minor: 1000, credit_minor: 1000, currency: "eur" }]],
  ["packages", "10.00; 1000 = 1100 jpy", "eur", [{ price_minor: 1000, credit_minor: 1000, currency: "eur" }, { price_minor: 1000, credit_minor: 1100, currency: "jpy" }]],
];

for (const [name, text, currency, value] of TABLE) {
  test(`${name}: ${text} ${currency ?? ""}`, () => {
    assert.deepEqual(readFigure(figure(name), text, currency), value);
    assert.deepEqual(readFigure(figure(name), figureText(figure(name), value, currency), currency), value);
  });
}

test("blank says nothing, which is not nought", () => {
  for (const { figures } of GROUPS) for (const one of figures) {
    assert.equal(readFigure(one, " ", "eur"), null);
    assert.equal(figureText(one, undefined, "eur"), "");
  }
  assert.deepEqual(readFigures({ currency: "", fee_percent_bp: "0", terms_version: "" }, {}), { fee_percent_bp: 0 });
});

test("what cannot be read is refused by name, and an amount needs its currency", () => {
  for (const [name, text, currency, code] of [
    ["rate_minor_per_min", "1.505", "eur", "amount"], ["rate_minor_per_min", "5", undefined, "currency"], ["fee_percent_bp", "-1", undefined, "number"],
    ["window_s", "x", undefined, "number"], ["packages", "10.00", undefined, "currency"], ["packages", "ten = 11", "eur", "packages"], ["packages", "10.001", "eur", "amount"], ["earnings_days", "1.5", undefined, "number"],
  ]) assert.throws(() => readFigure(figure(name), text, currency), (error) => error instanceof FigureError && error.figure === name && error.code === code);
});

test("figures that the form does not show stay as they were", () => {
  assert.deepEqual(readFigures({ currency: "eur", rate_minor_per_min: "2.00" }, { packages: [1], rate_minor_per_min: 100, currency: "eur" }), { packages: [1], currency: "eur", rate_minor_per_min: 200 });
});
