"""Looks at a page in a state: pictures at both widths in light and dark, and axe-core's judgement."""

from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SCREENSHOTS = Path(__file__).parent / "screenshots"
WIDTHS = {390: 844, 1440: 900}
SCHEMES = ("light", "dark")
GRAVE = ("serious", "critical")
# The payment's frame is a page of its own, judged as such.
VIOLATIONS = """
async () => {
  const { violations } = await axe.run({ resultTypes: ["violations"], iframes: false });
  return violations.map(({ id, impact, nodes }) => ({ id, impact, targets: nodes.map(({ target }) => target) }));
}
"""


class Look:
    """`look(page, "card-live")` after the page is in that state; `problems` collects what axe finds grave."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.seen: list[str] = []
        self._axe_script = Axe().axe_script

    def __call__(self, page: Page, state: str, *, schemes: tuple[str, ...] = SCHEMES) -> None:
        before = page.viewport_size
        self.seen.append(state)
        for width, height in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            for scheme in schemes:
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
                self._picture(page, f"{state}-{width}-{scheme}")
            self._judge(page, f"{state} at {width} in {schemes[-1]}")
            self._overflow(page, f"{state} at {width}")
        page.emulate_media(color_scheme="light")
        if before is not None:
            page.set_viewport_size(before)

    def _picture(self, page: Page, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled", full_page=True)

    def _judge(self, page: Page, where: str) -> None:
        # Half a megabyte of script: put in once for each page, and not read again for each width.
        if not page.evaluate("'axe' in window"):
            page.evaluate(self._axe_script)
        for violation in page.evaluate(VIOLATIONS):
            if violation["impact"] in GRAVE:
                nodes = "; ".join(str(target) for target in violation["targets"][:3])
                self.problems.append(f"{where}: {violation['id']} ({violation['impact']}): {nodes}")

    def _overflow(self, page: Page, where: str) -> None:
        """A page that scrolls sideways is broken at that width."""
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 1:
            self.problems.append(f"{where}: {wide} px wider than the window")
