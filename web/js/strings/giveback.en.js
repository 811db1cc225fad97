// What is said where somebody gives money back, in English. Another language is another file with the same names.

export const giveback = {
  open: "Give money back",
  title: "Give money back",
  /** @param {string} name @param {string} what */
  of: (name, what) => `${name}: ${what}`,
  paid: "Paid",
  back: "Given back or taken back",
  invoice: "Which payment",
  /** @param {string} when @param {string} amount @param {string | null} gone */
  payment: (when, amount, gone) => (gone ? `${when}: ${amount}, ${gone} of it given back` : `${when}: ${amount}`),
  how: "How much",
  all: "All that is left",
  allCredits: "What is not spent yet",
  some: "This much",
  amount: "Amount",
  badAmount: "Write an amount, such as 5.00.",
  why: "Why",
  reasons: { goodwill: "A gesture of goodwill", requested: "Asked for", technical: "A technical failure", host_absent: "The host did not come", duplicate: "Paid twice" },
  access: "What happens to the access",
  keeps: "It stays",
  keepsSubscription: "It stays, and renews as before",
  ends: "It ends now",
  allEnds: "Nobody goes in any more with what is given back whole.",
  endsSubscription: "It and the subscription end now",
  cancels: "It stays until the end of what is paid, and does not renew",
  go: "Give it back",
  cancel: "Cancel",
  /** @param {string} amount */
  done: (amount) => `${amount} is on its way back`,
  doneLater: "Asked for. It goes back as soon as the amount is known.",
  /** @type {Record<string, string>} */
  wrong: {
    too_much: "Less than that is left. Choose a smaller amount.",
    nothing_left: "Nothing is left to give back.",
    not_refundable: "This was not paid in a way that can go back.",
    disputed: "The payer’s bank looks into this payment, or has taken it back.",
    not_paid: "Nothing was paid yet.",
    no_length: "Name an amount.",
    unknown_invoice: "This payment is not known any more. Reload the page.",
  },
  desk: {
    title: "Give money back",
    lead: "Any purchase, also a subscription’s payments and credits that are not spent. The number stands on its receipt.",
    order: "Order",
    find: "Look it up",
    refunds: "Given back so far",
    none: "Nothing has gone back yet.",
    /** @type {Record<string, string>} */
    states: { asked: "on its way", succeeded: "sent", failed: "did not arrive" },
  },
};
