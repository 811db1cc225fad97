/** Credits of who is signed in: what is there, what happened, and buying more. */

import { button, h, replace, setBusy, toast } from "../dom.js";
import { forgetCard, getConfig, getWallet, getWallets } from "../api.js";
import { formatMoney, formatShortDateTime } from "../format.js";
import { autoTopUp, cardText } from "../autotopup.js";
import { TopUp } from "../topup.js";
import { credits as text } from "../strings/credits.en.js";
import { errorText } from "../strings/en.js";

/** @typedef {import("../api.js").Wallet} Wallet */
/** @typedef {import("../api.js").WalletLine} WalletLine */

/** @type {import("../me.js").Section} */
export async function wallets() {
  const [{ wallets: first }, { sandbox }] = await Promise.all([getWallets(), getConfig()]);
  const section = h("section", { class: "card stack", id: "my-credits", "aria-labelledby": "credits-title" });
  /** @param {Wallet[]} known */
  const draw = (known) => replace(section,
    h("h2", { id: "credits-title" }, text.title),
    known.length === 0 ? h("p", { class: "muted" }, text.me.none) : known.map((wallet) => walletPart(wallet, sandbox)),
    cardsPart(known[0]?.cards ?? [], draw));
  draw(first);
  return section;
}

/** Every wallet of a person has the same cards. @param {import("../api.js").KeptCard[]} cards @param {(wallets: Wallet[]) => void} changed */
function cardsPart(cards, changed) {
  if (cards.length === 0) return null;
  return h("div", { class: "stack stack--tight", id: "kept-cards" }, h("h3", { class: "field__label" }, text.cards.kept), cards.map((card) => {
    const forget = button(text.cards.forget, { kind: "small quiet", "aria-label": `${text.cards.forget}: ${cardText(card)}`, onClick: async () => {
      setBusy(forget, true);
      try {
        const { wallets: now } = await forgetCard(card.id);
        toast(text.cards.forgotten(cardText(card)));
        changed(now);
      } catch (error) {
        setBusy(forget, false);
        toast(errorText(error), { kind: "danger" });
      }
    } });
    return h("div", { class: "row" }, h("span", null, cardText(card)), forget);
  }));
}

/** @param {Wallet} first @param {boolean} sandbox */
function walletPart(first, sandbox) {
  const element = h("div", { class: "stack", dataset: { currency: first.currency } });
  const topUp = new TopUp({ sandbox, onDone: () => { again(); } });
  const lines = h("ul", { class: "wallet-lines" });
  const more = h("div");
  /** @param {Wallet} wallet */
  const draw = (wallet) => {
    const money = (/** @type {number} */ amount_minor) => formatMoney({ amount_minor, currency: wallet.currency });
    topUp.set(wallet);
    const buy = wallet.packages.length > 0 && button(text.me.buy, { kind: "small", icon: "plus", onClick: () => { topUp.open(); if (buy) buy.replaceWith(topUp.element); } });
    replace(element,
      h("p", { class: "large numbers" }, money(wallet.balance_minor)),
      wallet.held_minor > 0 && h("p", { class: "small muted" }, text.me.held(money(wallet.held_minor))),
      wallet.frozen_minor > 0 && h("p", { class: "small muted" }, text.me.frozen(money(wallet.frozen_minor))),
      wallet.owed_minor > 0 && h("p", null, text.card.owed(money(wallet.owed_minor))),
      buy && h("div", null, buy),
      autoTopUp(wallet, draw),
      h("details", { on: { toggle: (/** @type {Event} */ event) => { if (/** @type {HTMLDetailsElement} */ (event.target).open && !lines.hasChildNodes()) show(null); } } },
        h("summary", null, text.me.history), lines, more));
  };
  /** @param {string | null} before */
  const show = async (before) => {
    const { history, next, currency } = await getWallet(first.currency, before);
    lines.append(...history.map((line) => historyLine(line, currency)));
    if (!lines.hasChildNodes()) lines.append(h("li", { class: "muted" }, text.me.empty));
    replace(more, next && button(text.me.more, { kind: "small quiet", onClick: () => { show(next); } }));
  };
  const again = async () => {
    topUp.close();
    replace(lines);
    draw(await getWallet(first.currency));
  };
  draw(first);
  return element;
}

/** @param {WalletLine} line @param {string} currency */
function historyLine({ at, kind, amount_minor, title }, currency) {
  const sign = amount_minor < 0 ? "−" : "+";
  return h("li", { class: "wallet-line", dataset: { kind } },
    h("span", null, text.me.kinds[kind] ?? text.me.kinds.other, kind === "use" && title && h("span", { class: "muted" }, ` · ${title}`)),
    h("time", { class: "small muted", datetime: at }, formatShortDateTime(at)),
    h("span", { class: "numbers" }, `${sign}${formatMoney({ amount_minor: Math.abs(amount_minor), currency })}`));
}
