// What the pages of people say, in English: signing in, and the page of who is signed in. Another language is another
// file with the same names.

export const people = {
  signin: {
    title: "Sign in",
    lead: "We send a link to your address. There is no password.",
    email: "E-mail address",
    send: "Send the link",
    badEmail: "Write the whole address, such as ana@example.org.",
    sentTitle: "Look into your mail",
    /** @param {string} email */
    sent: (email) => `A link is on its way to ${email}. It is good for 20 minutes and for one time.`,
    sentNothing: "Nothing there after some minutes? Look into the spam folder, or check the address.",
    again: "Use another address",
    sandboxMail: "Open the sandbox’s mail",
    openTitle: "Welcome back",
    openText: "One press, and you are signed in on this browser.",
    open: "Sign in",
    failed: "That link does not work",
    over: "You were signed out. Sign in again to go on.",
    /** @param {string} name */
    already: (name) => `You are signed in as ${name}.`,
    goOn: "Go on",
    offTitle: "Nobody can sign in here yet",
    offText: "This server cannot send mail. Its operator has to set up a mail server first. You need no account to pay or to open a room.",
  },
  me: {
    /** @param {string} name */
    hello: (name) => `Hello, ${name}`,
    failed: "Your page could not be loaded",
    sectionFailed: "This part could not be loaded.",
    pages: "Your pages",
    mine: "Purchases",
    rooms: "Rooms",
    earnings: "Earnings",
    toTest: "Test mode",
    toLive: "Back to live",
    more: "Show more",

    purchases: "What you bought",
    noPurchases: "Nothing yet. What you buy while you are signed in is listed here, with its receipts.",
    topup: "Credits",
    extends: "Time added",
    receipt: "Receipt",
    goIn: "Go in",
    held: "held",
    /** @param {string} used */
    used: (used) => `${used} used`,
    /** @param {string} amount */
    refunded: (amount) => `${amount} refunded`,
    /** @param {string} amount */
    lost: (amount) => `${amount} taken back by your bank`,

    noRooms: "No rooms yet. What you open while you are signed in is listed here, with its sales.",
    openRoom: "Open a room",
    live: "Live",
    closed: "Closed",
    /** @param {number} payers */
    payers: (payers) => (payers === 1 ? "1 purchase" : `${payers} purchases`),
    /** @param {string} gross */
    gross: (gross) => `${gross} taken`,
    publicPage: "Public page",
    studio: "Open studio",
    newLink: "New host link",
    newLinkTitle: "Make a new host link?",
    newLinkText: "The old link no longer opens the room, on any device. Who is live now stays live. You need no link where you are signed in.",
    newLinkSure: "Make a new one",
    newLinkMade: "The new host link",
    newLinkMadeText: "It is shown once. Whoever has it can host this room: keep it to yourself.",
    newLinkLabel: "Host link",
    sales: "Sales",
    noSales: "Nothing sold yet.",
    /** @param {string} amount */
    lostByPayer: (amount) => `${amount} taken back by the payer’s bank`,

    account: "Account",
    name: "Name",
    email: "E-mail",
    save: "Save",
    saved: "Saved",
    signOut: "Sign out",
    erase: "Erase my account",
    eraseTitle: "Erase your account?",
    eraseText: "Your name and address are replaced everywhere, your kept cards are forgotten and your rooms are closed. What was paid, and when, stays in the books. This cannot be undone.",
    eraseSure: "Erase it",
    /** @param {number} others */
    elsewhere: (others) => `You are signed in ${others === 1 ? "in one other place" : `in ${others} other places`}.`,
    signOutElsewhere: "Sign out everywhere else",
    signedOutElsewhere: "Signed out everywhere else",
    subscriptions: {
      title: "Subscriptions",
      change: "Change or cancel",
      open: "Open the room",
      over: "Ended. You can subscribe again on the room’s page.",
      /** @param {string} when */
      lapsing: (when) => `The last payment did not go through. You can go in until ${when}: change your card.`,
      /** @param {string} when */
      ends: (when) => `Ends ${when}. Nothing more is charged.`,
      /** @param {string} when */
      trial: (when) => `Free until ${when}, then it is charged.`,
      /** @param {string} when */
      renews: (when) => `Paid until ${when}, then it renews by itself.`,
      badges: { over: "ended", unpaid: "not paid", ending: "ending", active: "active" },
    },
  },
};
