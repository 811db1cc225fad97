// What pages say of credits, in English. Another language is another file with the same names.

export const credits = {
  title: "Your credits",
  /** @param {string} amount */
  creditsOf: (amount) => `${amount} of credits`,
  /** @param {string} amount @param {string} bonus */
  withBonus: (amount, bonus) => `${amount} of credits and ${bonus} on top`,
  buy: {
    intro: "Credits pay for every room of this server that takes them. What you do not use stays yours.",
    choose: "How much?",
    go: /** @param {string} price */ (price) => `Pay ${price}`,
    accept: "I accept that I pay for credits now.",
    lockLine: "Paid through Stripe. We never see your card.",
    sandboxLine: "Test payment. No real money moves.",
    failed: "The payment could not be opened.",
    pending: "The payment service did not answer. Nothing is lost: we keep asking, and your credits are there when they are paid.",
    newTabNote: "This page stays as it is. Your credits are added as soon as the payment is through.",
    newTab: "Pay in a new tab",
    paid: "Paid. Your credits are being added.",
    added: "Credits added",
    canceled: "Nothing was paid.",
  },
  cards: {
    /** @param {string} brand @param {string} last4 */
    name: (brand, last4) => `${brand} ending in ${last4}`,
    payWith: "Pay with",
    another: "Another card",
    keep: "Keep this card, to buy with it again or top up by itself",
    kept: "Cards you keep here",
    forget: "Forget",
    /** @param {string} card */
    forgotten: (card) => `${card} is forgotten`,
  },
  auto: {
    title: "Top up by itself while a call runs low",
    how: "Only during a call, at most three times an hour. You see it in your list, and can switch it off here at any time.",
    amount: "By",
    card: "With",
    needsCard: "Keep a card when you buy credits, and your calls can top up by themselves.",
    switchedOn: "Your calls top up by themselves",
    switchedOff: "Nothing is topped up by itself any more",
  },
  card: {
    signInTitle: "Paid with credits",
    signInText: "Sign in to see your credits, or to buy some. There is no password.",
    signIn: "Sign in",
    /** @param {string} amount @param {string} length */
    enough: (amount, length) => `You have ${amount}, enough for ${length} here.`,
    /** @param {string} amount */
    tooLittle: (amount) => `You have ${amount}. That does not last for a minute here.`,
    none: "You have no credits yet.",
    /** @param {string} amount @param {string} frozen */
    frozen: (amount, frozen) => `You have ${amount} to spend here. ${frozen} more is frozen while your bank looks into the payment that bought it.`,
    /** @param {string} amount */
    owed: (amount) => `${amount} went back to your bank after you had used it. Buy credits: they pay that first.`,
    managed: "Your credits are given to you by this server’s operator. Ask them for more.",
    how: ["Your credits are taken by the second, while the host is here.", "Leave when you like: what you do not use stays yours.", "Buy more during the call, without leaving it."],
    accept: "I accept that my credits are taken while the call goes on.",
    enter: "Enter",
    buyTitle: "Buy credits",
    more: "Buy more credits",
  },
  call: {
    title: "Your credits",
    /** @param {string} price */
    intro: (price) => `${price} a minute. The clock stands still while the host or you are away.`,
    left: "Credits left",
    lasts: "Lasts for",
    buy: "Buy credits",
    low: /** @param {string} length */ (length) => `Your credits last for about ${length}.`,
    lastMinute: "One minute left of your credits.",
    spoken: /** @param {string} time @param {string} price */ (time, price) => `Time used: ${time}. ${price} so far.`,
    atTheEnd: "This is the longest call this room sells.",
    charged: "Taken from your credits",
    stillThere: "Credits left",
    leftNote: ["You left the call", "Only what you used was taken from your credits."],
    usedUpNote: ["Your credits are used up", "Buy more to go back in."],
    hostEndedNote: ["The host ended the call", "Only what you used was taken from your credits."],
    settling: "What you used is being taken from your credits…",
  },
  me: {
    none: "You have no credits. Rooms that take credits offer them on their page.",
    held: /** @param {string} amount */ (amount) => `${amount} of it is held by a call, or on its way back to your card.`,
    frozen: /** @param {string} amount */ (amount) => `${amount} of it is frozen: your bank is looking into the payment that bought it. It is yours to spend again once the bank decides that the payment stands.`,
    buy: "Buy credits",
    history: "What happened",
    empty: "Nothing yet.",
    kinds: /** @type {Record<string, string>} */ ({
      topup: "Credits bought", bonus: "On top, as a gift", use: "Used", refund: "Paid back to you", dispute: "Taken back by your bank", returned: "Given back by your bank",
      repaid: "Paid what was missing", credit: "Given by the operator", debit: "Taken by the operator", other: "Changed",
    }),
    more: "Show more",
  },
};
