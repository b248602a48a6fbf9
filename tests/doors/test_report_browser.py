"""The report in Chromium: click a cell, see its images; every number follows the rule; nothing leaves the file.

The page is opened from a file, as a user does. A page that writes to the console, throws, or asks for anything that is
not inside it fails its test.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

import pages
from deconfuse.report.render import frame, standalone
from deconfuse.report.views import MatrixView

pytestmark = pytest.mark.browser

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; its absence is a failure, for these tests are the proof of the report."""
    chromium = shutil.which("chromium")
    assert chromium, "these tests need Chromium (Debian: apt-get install chromium)"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A window of its own for each test."""
    opened = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    opened.set_default_timeout(10_000)
    yield opened
    opened.close()


@pytest.fixture
def show(context: BrowserContext, tmp_path: Path) -> Iterator[Open]:
    """A function that writes a view as a page and opens it; what goes wrong in the page fails the test."""
    wrong: list[str] = []

    def open_page(view: MatrixView | str, *, fragment: str = "") -> Page:
        path = tmp_path / "report.html"
        path.write_text(view if isinstance(view, str) else standalone(view), "utf-8")
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if is_outside(request.url) else None)
        page.goto(path.as_uri() + fragment)
        return page

    yield open_page
    assert wrong == []


def is_outside(url: str) -> bool:
    """Whether an address is neither the page nor something that stands in it."""
    return not url.startswith(("file:", "data:", "about:"))


def said(page: Page, selector: str) -> str:
    """The visible text of an element, with ordinary spaces and without marks that hold a line together."""
    return re.sub(r"\s+", " ", page.locator(selector).inner_text().replace("\u2060", "")).strip()


def cell_at(page: Page, true: int, predicted: int) -> tuple[float, float]:
    """A point of a cell in the window, found as a reader finds it: by moving the pointer and listening."""
    point = page.evaluate(
        """([t, p]) => {
        const matrix = document.querySelector('confusion-matrix');
        const box = matrix.over.getBoundingClientRect();
        let at = null;
        matrix.addEventListener('cell-point', ({ detail }) => { at = detail; });
        for (let y = 5; y < box.height; y += 10) for (let x = 5; x < box.width; x += 10) {
          const point = { clientX: box.x + x, clientY: box.y + y, bubbles: true };
          matrix.over.dispatchEvent(new PointerEvent('pointermove', point));
          if (at && at.true === t && at.predicted === p) {
            matrix.over.dispatchEvent(new PointerEvent('pointerleave'));
            return [point.clientX, point.clientY];
          }
        }
    }""",
        [true, predicted],
    )
    assert point, f"no cell {true}, {predicted} on the canvas"
    return point[0], point[1]


def choose(page: Page, name: str) -> None:
    """Set the switch called `name`."""
    page.get_by_role("radio", name=name, exact=True).check()


def to_first_cell(page: Page, *keys: str) -> None:
    """Go by keyboard to the upper left cell, press `keys` there, and choose the cell one has come to."""
    page.locator("confusion-matrix .scroller").focus()
    for key in ("Control+Home", *keys, "Enter"):
        page.keyboard.press(key)


def pixel(page: Page) -> list[int]:
    """Red, green, blue and alpha of the upper left corner of the canvas."""
    found: list[int] = page.evaluate(
        """() => {
        const copy = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        copy.drawImage(document.querySelector('confusion-matrix').base, 0, 0);
        return [...copy.getImageData(1, 1, 1, 1).data];
    }"""
    )
    return found


def eventually(is_so: Callable[[], bool], *, seconds: float = 10) -> None:
    """Return when the page is so; a repaint comes when the browser finds the time."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def in_view(page: Page) -> Page:
    """The page, scrolled to the matrix."""
    page.locator("#matrix").scroll_into_view_if_needed()
    page.evaluate("document.querySelector('#matrix').scrollIntoView()")
    return page


def test_a_click_on_a_cell_shows_its_images(show: Open) -> None:
    """The two closets that were called bedroom, and no other image, with both denominators in the sentence."""
    page = in_view(show(pages.small()))
    page.mouse.click(*cell_at(page, 1, 0))

    assert page.locator("#cell .file").all_inner_texts() == ["09.jpg", "10.jpg"]
    assert said(page, "#cell .sentence") == (
        "2 of 4 closet images (50 %, 15–85 %) were called bedroom; "
        "2 of 11 bedroom predictions (18 %, 5–48 %) were closet."
    )
    assert said(page, "#cell .shown") == "2 images"


def test_thumbnails_are_pictures_that_load(show: Open) -> None:
    """Each image of a cell has decoded to 96 pixels, from inside the file."""
    page = in_view(show(pages.small()))
    page.mouse.click(*cell_at(page, 0, 0))
    widths = page.evaluate(
        "Promise.all([...document.querySelectorAll('#cell img')].map((i) => i.decode().then(() => i.naturalWidth)))"
    )

    assert widths == [96] * 8


def test_hovering_says_the_sentence(show: Open) -> None:
    """The tip follows the pointer and goes with it."""
    page = in_view(show(pages.small()))
    page.mouse.move(*cell_at(page, 1, 0))

    assert "2 of 4 closet images (50 %, 15–85 %) were called bedroom" in said(page, "confusion-matrix .tip")
    page.mouse.move(2, 2)
    expect(page.locator("confusion-matrix .tip")).to_be_hidden()


def test_switching_the_rule_changes_everything(show: Open) -> None:
    """Headline, stamp, findings, matrix, images and labels follow; nothing stays behind."""
    page = in_view(show(pages.small()))
    page.mouse.click(*cell_at(page, 1, 0))
    before = {part: said(page, part) for part in ("#headline", ".bar .stamp", "#findings ol", "#labels table", "#cell")}
    choose(page, "Assumed thresholds")
    after = {part: said(page, part) for part in before}

    assert [part for part in before if before[part] == after[part]] == []
    assert "16 of 20 right" in before["#headline"]
    assert "15 of 20 right" in after["#headline"]
    assert "assumed thresholds" in after[".bar .stamp"]
    assert "1 of 4 closet images" in after["#cell"]
    assert page.evaluate("document.querySelector('confusion-matrix').counts.at(1, 4)") == 1


def test_the_undefined_is_a_dash(show: Open) -> None:
    """A threshold that does not exist is no zero."""
    page = show(pages.small())
    choose(page, "Assumed thresholds")
    cells = page.locator("#labels tbody tr").nth(2).locator("td").all_inner_texts()

    assert "–" in cells


def test_no_label_stands_last_and_only_where_it_holds_something(show: Open) -> None:
    """The column appears with the rule that needs it."""
    page = in_view(show(pages.small()))
    page.locator(".twin summary").click()
    expect(page.locator(".twin table")).to_be_visible()
    heads = ".twin thead th"

    assert page.locator(heads).all_inner_texts()[-2:] == ["yard", "all"]
    choose(page, "Assumed thresholds")
    assert page.locator(heads).all_inner_texts()[-2:] == ["no label", "all"]


def test_the_keyboard_moves_through_the_cells_and_a_screen_reader_hears_them(show: Open) -> None:
    """Arrows, Home and End; the sentence is said; Enter shows the images."""
    page = in_view(show(pages.small()))
    page.locator("confusion-matrix .scroller").focus()
    for key in ("Control+Home", "ArrowDown"):
        page.keyboard.press(key)
    live = page.locator("confusion-matrix [aria-live]")

    expect(live).to_contain_text("2 of 4 closet images")
    page.keyboard.press("Enter")
    assert page.locator("#cell .file").all_inner_texts() == ["09.jpg", "10.jpg"]
    page.keyboard.press("Control+End")
    expect(live).to_contain_text("yard images")
    page.keyboard.press("ArrowRight")
    expect(live).to_contain_text("yard images")


def test_the_focus_can_be_seen(show: Open) -> None:
    """Moving by keyboard paints a ring around the cell."""
    page = in_view(show(pages.small()))
    painted = "[...document.querySelector('confusion-matrix').over.toDataURL()].length"
    before = page.evaluate(painted)
    page.locator("confusion-matrix .scroller").focus()
    page.keyboard.press("ArrowRight")

    assert page.evaluate(painted) != before


def test_the_orientation_turns_and_keeps_its_words(show: Open) -> None:
    """Predicted labels on rows, as AWS has them: the same click finds the mirrored cell, the sentence stays."""
    page = in_view(show(pages.small()))
    choose(page, "predicted labels")
    to_first_cell(page, "ArrowRight")

    assert said(page, "#cell .sentence").startswith("2 of 4 closet images")
    label = page.locator("confusion-matrix .scroller").get_attribute("aria-label")
    assert label is not None
    assert "predicted label on rows, true label on columns" in label


@pytest.mark.parametrize(
    ("order", "first"), [("name", 0), ("support", 0), ("recall", 1), ("similarity", None), ("given", 0)]
)
def test_labels_come_in_the_order_asked_for(show: Open, order: str, first: int | None) -> None:
    """By recall the worst label leads; similarity is the order handed in."""
    view = pages.small()
    page = in_view(show(view))
    page.select_option("select[name=order]", order)
    to_first_cell(page)
    expected = view.order_by_similarity[0] if first is None else first

    assert page.evaluate("document.querySelector('confusion-matrix').selected") == {
        "true": expected,
        "predicted": expected,
    }


def test_settings_change_the_picture(show: Open) -> None:
    """Shares, the other scale and the hidden diagonal each paint something else."""
    page = in_view(show(pages.small()))
    painted = "document.querySelector('confusion-matrix').base.toDataURL()"
    seen = [page.evaluate(painted)]
    for name in ("share of true", "share of predicted", "log"):
        choose(page, name)
        seen.append(page.evaluate(painted))
    page.get_by_role("checkbox", name="diagonal").uncheck()
    seen.append(page.evaluate(painted))

    assert len(set(seen)) == len(seen)


def test_zero_looks_different_from_the_smallest_count(show: Open) -> None:
    """One of a thousand is tinted, nothing is paper; at any scale."""
    page = in_view(show(pages.many(100, n_images=40_000)))
    tints = page.evaluate("document.querySelector('confusion-matrix').ramp.slice(10).map((step) => step.rgb.join())")

    assert "255,255,255" not in tints
    assert len(set(tints)) > 200


def test_the_search_finds_labels(show: Open) -> None:
    """By a part of the name, in any case; Enter goes on; no hit is said."""
    page = in_view(show(pages.many(40)))
    find = page.locator("input[name=find]")
    find.fill("SPECIES 003")

    assert said(page, ".found") == "10 labels, Enter for the next"
    find.fill("walrus")
    assert said(page, ".found") == "no such label"


def test_columns_sort_and_undefined_comes_last(show: Open) -> None:
    """Rates with the worst first, then turned; the column says its direction."""
    page = show(pages.small())
    header = page.locator("#labels th", has_text="Recall")
    header.locator("button").click()
    worst = page.locator("#labels tbody td:first-child").all_inner_texts()
    page.locator("#labels th", has_text="Recall").locator("button").click()

    assert set(worst[:2]) == {"closet", "yard"}
    assert set(page.locator("#labels tbody td:first-child").all_inner_texts()[-2:]) == {"closet", "yard"}
    assert page.locator("#labels th", has_text="Recall").get_attribute("aria-sort") == "descending"


def test_the_list_of_a_cell_can_be_copied(show: Open, context: BrowserContext) -> None:
    """One address a line in the clipboard, and the same text to select."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = in_view(show(pages.small()))
    page.mouse.click(*cell_at(page, 1, 0))
    page.locator("#cell .copy").first.click()
    expect(page.locator("#cell .copy").first).to_have_text("Copied")
    listed = "photos/closet/09.jpg\nphotos/closet/10.jpg"

    assert page.evaluate("navigator.clipboard.readText()") == listed
    assert page.locator("#cell pre").text_content() == listed


def test_the_least_certain_image_leads_until_one_asks_for_the_surest(show: Open) -> None:
    """The order of a cell turns round."""
    page = in_view(show(pages.small()))
    page.mouse.click(*cell_at(page, 1, 0))
    page.get_by_text("least certain first").click()

    assert page.locator("#cell .file").all_inner_texts() == ["10.jpg", "09.jpg"]


def test_a_finding_leads_to_its_cell(show: Open) -> None:
    """Its link selects the cell, and the images are in sight."""
    page = show(pages.small())
    page.locator(".findings li", has_text="called bedroom").first.locator(".go").click()

    assert page.evaluate("document.querySelector('confusion-matrix').selected") == {"true": 1, "predicted": 0}
    expect(page.locator("#cell img").first).to_be_in_viewport()


def test_a_cell_that_shows_a_part_says_of_how_many(show: Open) -> None:
    """Above 2,000 images: 12 of so many shown, and the command that lists all."""
    page = in_view(show(pages.many(4, n_images=2_400, is_listed=True, picture=pages.webp())))
    page.mouse.click(*cell_at(page, 0, 0))
    total = page.evaluate("document.querySelector('confusion-matrix').counts.at(0, 0)")

    assert said(page, "#cell .shown") == f"12 of {total} shown"
    assert page.locator("#cell img").count() == 12
    assert said(page, "#cell code").startswith("deconfuse images species.csv --true='species 0000'")


def test_missing_pictures_have_a_named_place(show: Open) -> None:
    """The box says which file it stands for, the page how many there are."""
    page = in_view(show(pages.small(missing=(9, 0))))
    page.mouse.click(*cell_at(page, 1, 0))

    assert page.locator("#cell .missing").all_inner_texts() == ["09.jpg"]
    assert "2 pictures are missing" in said(page, "#notes")


def test_problems_have_their_own_list(show: Open) -> None:
    """What was not used, with where and why."""
    page = show(pages.small())

    assert said(page, "#problems .lead") == "1 image or line was not used. 1 warning."
    assert "photos/yard/99.jpg the file ends too early ERROR_INVALID_IMAGE train" in said(page, "#problems tbody")


def test_hostile_names_stay_text(show: Open) -> None:
    """No script runs, no element appears, the names are readable, the command is quoted."""
    page = in_view(show(pages.hostile()))
    page.mouse.click(*cell_at(page, 1, 1))

    assert page.evaluate("typeof bad") == "undefined"
    assert page.locator("main script, main b b, main u, #cell img").count() == 0
    assert "<img src=x onerror=bad()>" in said(page, "#cell h3")
    assert page.title() == "<h1>@data@</title><script>bad()</script> · confusion matrix"


def test_a_multi_label_page_counts_decisions(show: Open) -> None:
    """No label on both sides, and the word for what is counted."""
    page = in_view(show(pages.tags()))
    page.locator(".twin summary").click()
    expect(page.locator(".twin table")).to_be_visible()

    assert page.locator(".twin thead th").all_inner_texts()[-2] == "no label"
    assert "decisions" in said(page, ".twin caption")
    assert "Decisions right" in said(page, "#headline")


def test_too_many_labels_are_a_list_of_pairs(show: Open) -> None:
    """Above 2,000 labels there is no canvas; a pair can still be chosen."""
    page = show(pages.many(2_001, n_images=8_000))
    page.locator(".pairs tbody tr").first.click()

    expect(page.locator("confusion-matrix")).to_be_hidden()
    assert "2,001 labels" in said(page, ".pairs p")
    assert "were called" in said(page, "#cell .sentence")


def test_three_hundred_labels_are_smooth(show: Open) -> None:
    """Following the pointer costs less than a frame, repainting all less than a tenth of a second."""
    page = in_view(show(pages.many(300)))
    pointer, paint = page.evaluate(
        """() => {
        const matrix = document.querySelector('confusion-matrix');
        const box = matrix.over.getBoundingClientRect();
        const spent = [];
        for (let i = 0; i < 300; i++) {
          const point = { clientX: box.x + 40 + (i * 7) % 500, clientY: box.y + 40 + (i * 13) % 500, bubbles: true };
          const start = performance.now();
          matrix.over.dispatchEvent(new PointerEvent('pointermove', point));
          spent.push(performance.now() - start);
        }
        const start = performance.now();
        for (const diagonal of [false, true, false, true]) matrix.set({ diagonal });
        return [spent.sort((a, b) => a - b)[285], (performance.now() - start) / 4];
    }"""
    )

    assert pointer < 16
    assert paint < 100


def test_zooming_shows_names_and_numbers(show: Open) -> None:
    """From pixels to cells with numbers, keeping the place; and back to the whole."""
    page = in_view(show(pages.many(300)))
    page.locator("confusion-matrix .scroller").focus()
    small = page.evaluate("document.querySelector('confusion-matrix').scroller.scrollWidth")
    for _ in range(6):
        page.keyboard.press("+")
    large = page.evaluate("document.querySelector('confusion-matrix').scroller.scrollWidth")
    page.keyboard.press("0")

    assert large > 5 * small
    assert page.evaluate("document.querySelector('confusion-matrix').scroller.scrollWidth") == small


def test_the_address_keeps_what_is_shown(show: Open) -> None:
    """A copy of the address opens the same rule, settings and cell."""
    view = pages.small()
    page = in_view(show(view))
    choose(page, "Assumed thresholds")
    choose(page, "share of true")
    page.mouse.click(*cell_at(page, 1, 0))
    again = show(view, fragment="#" + page.url.partition("#")[2])

    assert said(again, "#cell .sentence") == said(page, "#cell .sentence")
    assert again.locator("input[name=values][value=true]").is_checked()
    assert "assumed thresholds" in said(again, ".bar .stamp")


@pytest.mark.parametrize("fragment", ["#cell=9.9", "#cell=x", "#rule=__proto__&order=%22]", "#%"])
def test_a_wrong_address_opens_the_page_all_the_same(show: Open, fragment: str) -> None:
    """What an address says wrongly is passed over."""
    page = show(pages.small(), fragment=fragment)

    assert "80.0 %" in said(page, "#headline")


@pytest.mark.parametrize("width", [420, 768, 1280, 1920])
def test_no_page_is_wider_than_its_window(show: Open, width: int) -> None:
    """Phones to large screens: tables and matrix scroll inside themselves."""
    page = show(pages.many(40))
    page.set_viewport_size({"width": width, "height": 900})

    eventually(lambda: page.evaluate("document.documentElement.scrollWidth") <= width)


def test_a_print_is_white_and_without_controls(show: Open) -> None:
    """Also from a dark screen; the matrix is repainted for paper."""
    page = show(pages.small())
    page.emulate_media(color_scheme="dark")
    eventually(lambda: pixel(page)[0] < 60)
    page.emulate_media(color_scheme="dark", media="print")

    eventually(lambda: pixel(page) == [255, 255, 255, 255])
    expect(page.locator("#tools")).to_be_hidden()
    expect(page.locator("#labels table")).to_be_visible()
    assert len(page.pdf()) > 10_000


def test_every_control_has_a_name(show: Open) -> None:
    """Inputs, selects and buttons are announced as something."""
    page = show(pages.small())
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select')]
          .filter((control) => !control.closest('[hidden]'))
          .filter((control) => !(control.labels?.length || control.textContent.trim() || control.ariaLabel)).length"""
    )

    assert nameless == 0


def test_a_notebook_frame_shows_the_page(show: Open) -> None:
    """Inside its sandbox: cells can be chosen, and nothing is written to the console."""
    page = show(f"<!DOCTYPE html><meta charset=utf-8><body>{frame(pages.small())}")
    inside = page.frame_locator("iframe")

    expect(inside.locator("#headline .value").first).to_have_text(re.compile(r"80\.0"))
    inside.locator(".findings li", has_text="called bedroom").first.locator(".go").click()
    expect(inside.locator("#cell .sentence")).to_contain_text("closet")


def test_a_source_without_images_says_so(show: Open) -> None:
    """Counted cells have sentences and no pictures."""
    page = in_view(show(pages.many(2)))
    page.mouse.click(*cell_at(page, 0, 0))

    assert page.locator("#cell img, #cell .missing").count() == 0
    assert "species 0000" in said(page, "#cell .sentence")
