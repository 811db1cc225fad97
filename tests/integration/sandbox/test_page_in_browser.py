"""The page in a real browser: pay, be declined and try again, 3-D Secure, walk away, the frame; and axe-core in every state."""

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

from .test_connect import ACCOUNT
from .world import World, embedded

pytestmark = pytest.mark.browser

ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
BACK = "https://rooms.test/"
SIZES = [(390, 844), (1440, 900)]
SCHEMES = ["light", "dark"]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield launched
        await launched.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    opened = await new_page(browser)
    yield opened
    assert opened.complaints == []  # type: ignore[attr-defined]


async def new_page(browser: Browser, **options: Any) -> Page:
    """A page where the merchant's site answers and where errors in the console are collected."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    page.complaints = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.complaints.append(str(error)))  # type: ignore[attr-defined]
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))  # type: ignore[attr-defined]
    await page.route(
        f"{BACK}**", lambda route: route.fulfill(body="<title>Back</title>", content_type="text/html")
    )
    return page


async def choose(place: Any, card: str) -> None:
    await place.locator(f"#card-{card}").check()
    await place.locator("#pay").click()


async def status_of(world: World, session: Any) -> str:
    return (await world.client.v1.checkout.sessions.retrieve_async(session.id)).status


async def test_success_leads_back(world: World, page: Page):
    session = await world.session()
    await page.goto(session.url)
    assert await page.locator("#amount").inner_text() == "€15.00"
    await choose(page, "succeeds")
    await page.wait_for_url(f"{BACK}back?session={session.id}")
    assert await status_of(world, session) == "complete"


async def test_declined_says_why_keeps_what_was_filled_in_and_lets_one_try_again(world: World, page: Page):
    session = await world.session()
    await page.goto(session.url)
    await page.locator("#email").fill("pat@example.org")
    await choose(page, "insufficient_funds")
    alert = page.get_by_role("alert")
    await alert.get_by_text("insufficient funds").wait_for()
    assert "Nothing was charged" in await alert.inner_text()
    assert await page.locator("#email").input_value() == "pat@example.org"
    await choose(page, "succeeds")
    await page.wait_for_url(f"{BACK}back?*")


async def test_3d_secure_fails_then_succeeds_across_a_reload(world: World, page: Page):
    session = await world.session()
    await page.goto(session.url)
    await choose(page, "three_d_secure")
    await page.locator("#refuse").click()
    await page.get_by_role("alert").get_by_text("could not confirm").wait_for()
    await choose(page, "three_d_secure")
    await page.locator("#approve").wait_for()
    await page.reload()
    await page.locator("#approve").click()
    await page.wait_for_url(f"{BACK}back?*")


async def test_walking_away_leads_back_unpaid(world: World, page: Page):
    session = await world.session()
    await page.goto(session.url)
    await page.locator("#back").click()
    await page.wait_for_url(f"{BACK}r/algebra")
    assert await status_of(world, session) == "open"


async def test_keyboard_alone_is_enough(world: World, page: Page):
    session = await world.session()
    await page.goto(session.url)
    await page.locator("#pay").wait_for()
    await page.keyboard.press("Tab")
    await page.keyboard.press("ArrowDown")
    assert await page.locator("#card-three_d_secure").is_checked()
    for _ in range(3):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.locator("#approve").wait_for()


async def test_expired_while_it_was_open(world: World, page: Page):
    session = await world.session()
    await page.goto(session.url)
    await page.locator("#pay").wait_for()
    await world.client.v1.checkout.sessions.expire_async(session.id)
    await page.locator("#pay").click()
    await page.locator("main[data-state=expired]").wait_for()
    # The refused attempt itself is what the browser's console reports.
    page.complaints.clear()  # type: ignore[attr-defined]


async def test_the_frame_tells_the_page_around_it(world: World, page: Page):
    session = await world.session(**embedded())
    frame = await framed(world, page, f"/sandbox/embedded/{session.client_secret}")
    await frame.locator("#back").click()
    await choose(frame, "succeeds")
    await frame.locator("main[data-state=complete]").wait_for()
    await page.wait_for_function("told.some(({state}) => state === 'complete')")
    told = await page.evaluate("told")
    assert {message["type"] for message in told} == {"tollroom:checkout"}
    assert all(message["here"] for message in told)
    states = [message["state"] for message in told if message["state"] != "height"]
    assert states == ["canceled", "complete"]
    assert max(message.get("height_px", 0) for message in told) > 400
    assert page.url.endswith("/around")


async def framed(world: World, page: Page, source: str) -> Any:
    """`source` in a frame of a page of ours, which keeps what it is told."""
    await page.route(
        f"{world.url}/around",
        lambda route: route.fulfill(body="<!doctype html><html lang=en>", content_type="text/html"),
    )
    await page.goto(f"{world.url}/around")
    await page.evaluate(
        """source => {
          window.told = [];
          addEventListener("message", ({data, origin}) => told.push({...data, here: origin === location.origin}));
          const frame = document.createElement("iframe");
          frame.src = source;
          document.body.append(frame);
        }""",
        source,
    )
    return page.frame_locator("iframe")


async def test_the_bank_asks_in_a_frame_of_the_call(world: World, page: Page):
    intent = await world.client.v1.payment_intents.create_async(
        {
            "amount": 1500,
            "currency": "eur",
            "payment_method": "pm_card_threeDSecure2Required",
            "capture_method": "manual",
            "confirm": True,
            "return_url": f"{BACK}back",
        }
    )
    frame = await framed(world, page, intent.next_action.redirect_to_url.url)
    await frame.locator("#approve").click()
    await frame.locator("main[data-state=complete]").wait_for()
    await page.wait_for_function("told.some(({state}) => state === 'complete')")
    assert page.url.endswith("/around")
    assert await frame.get_by_role("link").count() == 0
    found = await world.client.v1.payment_intents.retrieve_async(intent.id)
    assert found.status == "requires_capture"


async def test_no_other_site_may_frame_the_hosted_page(world: World, page: Page):
    session = await world.session()
    await page.route(
        f"{BACK}trap",
        lambda route: route.fulfill(body=f'<iframe src="{session.url}"></iframe>', content_type="text/html"),
    )
    await page.goto(f"{BACK}trap")
    await page.wait_for_function("1")
    assert await page.frames[1].locator("#pay").count() == 0
    page.complaints.clear()  # type: ignore[attr-defined]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
async def test_axe_finds_nothing_in_any_state(
    world: World, browser: Browser, scheme: str, size: tuple[int, int]
):
    width, height = size
    page = await new_page(
        browser, color_scheme=scheme, viewport={"width": width, "height": height}, bypass_csp=True
    )
    found: dict[str, list[str]] = {}
    session = await world.session()
    await page.goto(session.url)
    await look(page, "open", found)
    await choose(page, "declined")
    await page.get_by_role("alert").get_by_text("declined").first.wait_for()
    await look(page, "open", found, name="declined")
    await choose(page, "three_d_secure")
    await look(page, "challenge", found)
    await page.locator("#approve").click()
    await page.wait_for_url(f"{BACK}back?*")
    await page.goto(f"{world.url}/sandbox/checkout/{session.id}")
    await look(page, "complete", found)
    expired = await world.session()
    await world.client.v1.checkout.sessions.expire_async(expired.id)
    await page.goto(f"{world.url}/sandbox/checkout/{expired.id}")
    await look(page, "expired", found)
    await page.goto(f"{world.url}/sandbox/checkout/cs_sandbox_none")
    await look(page, "missing", found)
    await look_at_subscribing(world, page, found)
    await page.goto(f"{world.url}/_control/")
    await page.locator("tr[data-event]").first.wait_for()
    await check(page, "dashboard", found)
    assert found == {}


async def look_at_subscribing(world: World, page: Page, found: dict[str, list[str]]) -> None:
    keeping = await world.session(mode="setup", line_items=None, currency="eur")
    await page.goto(keeping.url)
    await look(page, "open", found, name="setup")
    subscribing = await world.session(**subscription())
    await page.goto(subscribing.url)
    await look(page, "open", found, name="subscription")
    await choose(page, "succeeds")
    await page.wait_for_url(f"{BACK}back?*")
    session = await world.client.v1.checkout.sessions.retrieve_async(subscribing.id)
    portal = await world.client.v1.billing_portal.sessions.create_async({"customer": session.customer})
    await page.goto(portal.url)
    await look(page, "open", found, name="portal")
    await page.get_by_text("Change the card").click()
    await look(page, "open", found, name="portal, card")
    account = await world.client.v2.core.accounts.create_async(ACCOUNT)
    await page.goto(await link_for(world, account.id))
    await look(page, "open", found, name="onboarding")
    await page.locator("#go").click()
    await page.wait_for_url(f"{BACK}earnings")
    await page.go_back()
    await look(page, "used", found, name="onboarding, used")


async def link_for(world: World, account_id: str) -> str:
    onboarding = {"refresh_url": f"{BACK}again", "return_url": f"{BACK}earnings"}
    case = {"type": "account_onboarding", "account_onboarding": onboarding}
    link = await world.client.v2.core.account_links.create_async({"account": account_id, "use_case": case})
    return str(link.url)


async def test_onboarding_left_and_taken_up_again(world: World, page: Page):
    account = await world.client.v2.core.accounts.create_async(ACCOUNT)
    first = await link_for(world, account.id)
    await page.goto(first)
    await page.get_by_role("radio", name="Leave unfinished").check()
    await page.locator("#go").click()
    await page.wait_for_url(f"{BACK}earnings")
    await page.goto(first)
    await page.locator("#again").click()
    await page.wait_for_url(f"{BACK}again")
    await page.goto(await link_for(world, account.id))
    await page.locator("#go").click()
    await page.wait_for_url(f"{BACK}earnings")
    found = await world.client.v2.core.accounts.retrieve_async(
        account.id, {"include": ["configuration.recipient"]}
    )
    assert found.configuration.recipient.capabilities.stripe_balance.stripe_transfers.status == "active"


def subscription(**data: Any) -> dict[str, Any]:
    price = {
        "currency": "eur",
        "unit_amount": 900,
        "product_data": {"name": "Yoga"},
        "recurring": {"interval": "month"},
    }
    return {
        "mode": "subscription",
        "line_items": [{"price_data": price, "quantity": 1}],
        "subscription_data": data or None,
    }


async def test_a_card_is_kept_with_3d_secure(world: World, page: Page):
    session = await world.session(mode="setup", line_items=None, currency="eur")
    await page.goto(session.url)
    await page.get_by_role("heading", name="Keep a card").wait_for()
    assert "Nothing is charged now" in await page.locator("main").inner_text()
    await choose(page, "three_d_secure_once")
    await page.locator("#refuse").click()
    await page.get_by_role("alert").get_by_text("The card was declined").wait_for()
    await choose(page, "three_d_secure_once")
    await page.locator("#approve").click()
    await page.wait_for_url(f"{BACK}back?*")
    assert await status_of(world, session) == "complete"


async def test_subscribing_says_what_it_costs_and_the_portal_ends_it(world: World, page: Page):
    session = await world.session(**subscription(trial_period_days=7))
    await page.goto(session.url)
    assert await page.locator("#amount").inner_text() == "€0.00"
    terms = await page.locator("#terms").inner_text()
    assert terms == "€9.00 every month, starting after 7 days, until you cancel."
    await choose(page, "declines_later")
    await page.wait_for_url(f"{BACK}back?*")
    done = await world.client.v1.checkout.sessions.retrieve_async(session.id)
    portal = await world.client.v1.billing_portal.sessions.create_async(
        {"customer": done.customer, "return_url": f"{BACK}me"}
    )
    await page.goto(portal.url)
    await page.locator("[data-action=cancel]").click()
    await page.get_by_text("Ends on").wait_for()
    await page.locator("[data-action=resume]").click()
    await page.locator("[data-action=cancel]").wait_for()
    await world.control("advance_subscription", {"subscription": done.subscription})
    await page.reload()
    await page.get_by_text("The last payment failed").wait_for()
    await page.get_by_role("radio", name="Succeeds").check()
    await page.get_by_role("button", name="Use this card").click()
    await page.locator("[data-status=active]").wait_for()
    await page.locator("#back").click()
    await page.wait_for_url(f"{BACK}me")


async def look(page: Page, state: str, found: dict[str, list[str]], *, name: str | None = None) -> None:
    await page.locator(f"main[data-state={state}]").wait_for()
    await check(page, name or state, found)


async def check(page: Page, name: str, found: dict[str, list[str]]) -> None:
    # A colour on its way to another has the contrast of neither.
    await page.evaluate("Promise.allSettled(document.getAnimations().map((one) => one.finished))")
    results = await Axe().run(page)
    serious = [
        one["id"] for one in results.response["violations"] if one["impact"] in ("serious", "critical")
    ]
    if serious:
        found[name] = serious
    overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if overflow > 0:
        found.setdefault(name, []).append(f"scrolls sideways by {overflow} px")


async def test_a_hold_says_so(world: World, page: Page):
    session = await world.session(payment_intent_data={"capture_method": "manual"})
    await page.goto(session.url)
    assert await page.locator("#pay").inner_text() == "Hold up to €15.00 (test)"
    await page.get_by_text("You pay what you use, the rest is released.").wait_for()


async def test_the_bank_asks_about_a_kept_card(world: World, page: Page):
    intent = await world.client.v1.payment_intents.create_async(
        {
            "amount": 2000,
            "currency": "eur",
            "payment_method": "pm_card_authenticationRequired",
            "confirm": True,
            "return_url": f"{BACK}r/algebra",
        }
    )
    await page.goto(intent.next_action.redirect_to_url.url)
    await page.locator("#approve").click()
    await page.wait_for_url(f"{BACK}r/algebra?payment_intent={intent.id}&*redirect_status=succeeded")
    assert (await world.client.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"
