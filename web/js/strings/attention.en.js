// What the operator's page says of what needs a person, in English. Another language is another file with the same names.

export const attention = {
  title: "Needs you",
  nothing: "Nothing. All is well.",
  outbox: "Given up",
  refunds: "Refunds that did not arrive",
  payouts: "Payouts that wait",
  quarantine: "Put aside",
  differences: "Other figures at the payment service",
  again: "Try again",
  ours: "here",
  theirs: "there",
  /** @type {Record<string, string>} */
  kinds: {
    refund: "A refund",
    cancel_subscription: "Ending a subscription",
    cancel_at_period_end: "Ending a subscription with its period",
    expire_checkout: "Closing a payment page",
    charge_window: "Charging a call",
    release_window: "Releasing a hold",
    transfer: "A payout",
    reverse_transfer: "Taking a payout back",
  },
};
