"""The page as a text: one file, nothing outside it, nothing that gets out of its place."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

import pages
from deconfuse.measure.matrix import ConfusionMatrix
from deconfuse.measure.rates import wilson
from deconfuse.measure.scores import label_scores, label_scores_from_binary
from deconfuse.report.payload import payload, stamp_line
from deconfuse.report.render import BUDGET, embedded_json, frame, page_script, standalone
from deconfuse.report.views import ImageView, MatrixView, RuleView, Stamp

VIEWS: dict[str, Callable[[], MatrixView]] = {
    "small": pages.small,
    "hostile": pages.hostile,
    "tags": pages.tags,
    "two labels": lambda: pages.many(2),
    "too many labels": lambda: pages.many(2_001, n_images=4_000),
}


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the texts of its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember the element."""
        self.tags.append((tag, dict(attrs)))
        self._inside = f"{tag} {dict(attrs).get('type', '')}".strip()

    def handle_data(self, data: str) -> None:
        """Remember the text of scripts and styles."""
        if self._inside.startswith(("script", "style")):
            self.texts[self._inside] = self.texts.get(self._inside, "") + data

    def handle_endtag(self, tag: str) -> None:
        """Leave it."""
        self._inside = ""


def data_of(page: str) -> Any:
    """The JSON inside a page."""
    return json.loads(Elements(page).texts["script application/json"])


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_page_names_nothing_outside_itself(view: Callable[[], MatrixView]) -> None:
    """No address of a script, style, font or picture: the page opens from a disk without a network."""
    elements = Elements(standalone(view()))
    sources = [
        value for _, attrs in elements.tags for name, value in attrs.items() if name in ("src", "href", "action")
    ]

    assert sources == ["data:,"]
    assert "url(" not in elements.texts["style"]
    assert "@import" not in elements.texts["style"]


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_what_comes_from_outside_never_becomes_markup(view: Callable[[], MatrixView]) -> None:
    """Whatever labels and files are called, every page consists of the same elements."""
    kinds = [
        tag for tag, _ in Elements(standalone(view())).tags if tag in ("script", "style", "img", "b", "h1", "title")
    ]

    assert kinds == ["title", "style", "h1", "script", "script"]


def test_hostile_names_arrive_unchanged() -> None:
    """Escaping is undone by JSON: the page shows the names as they are."""
    view = pages.hostile()
    page = standalone(view)
    data = data_of(page)

    assert list(view.labels) == data["labels"]
    assert [image.uri for image in view.images] == [image["uri"] for image in data["images"]]
    assert "bad()</script>" not in page


def test_a_page_is_valid_utf_8_whatever_files_are_called() -> None:
    """A file name that is no UTF-8 reaches Python with lone surrogates; writing the page must not fail."""
    assert standalone(pages.hostile()).encode("utf-8")


@pytest.mark.parametrize("text", ["</script>", "<!--", "]]>", "&lt;", "\u2028\u2029", "\ud800", '"\\', "{{ x }}"])
def test_embedded_json_cannot_end_its_element(text: str) -> None:
    """Nothing but ASCII, no angle bracket and no ampersand, and back again it is the same."""
    embedded = embedded_json({text: [text]})

    assert embedded.isascii()
    assert not set(embedded) & set("<>&")
    assert {text: [text]} == json.loads(embedded)


def test_embedded_json_refuses_what_json_has_no_number_for() -> None:
    """NaN must have become null before."""
    with pytest.raises(ValueError, match="JSON"):
        embedded_json([float("nan")])


def test_the_policy_allows_this_script_and_this_style_only() -> None:
    """The hashes are those of the inline texts, so no other script can run, and nothing can be fetched."""
    elements = Elements(standalone(pages.small()))
    policy = next(attrs["content"] for tag, attrs in elements.tags if attrs.get("http-equiv"))
    hashes = [
        base64.b64encode(hashlib.sha256(elements.texts[kind].encode()).digest()).decode()
        for kind in ("script module", "style")
    ]

    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert all(f"'sha256-{found}'" in policy for found in hashes)
    assert "unsafe" not in policy


def test_the_joined_scripts_are_one_module() -> None:
    """No import and no export is left, and no two files declare the same name."""
    script = page_script()
    names = re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", script, re.MULTILINE)

    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    assert len(set(names)) == len(names)
    assert "</script" not in script
    assert "<!--" not in script


def test_styles_cannot_end_their_element() -> None:
    """The style sheet is set into the page as it is."""
    assert "<" not in (files("deconfuse.report") / "static" / "page.css").read_text("utf-8")


def test_the_same_view_gives_the_same_page() -> None:
    """Chance is seeded: two reports of one run are equal byte for byte."""
    assert standalone(pages.small()) == standalone(pages.small())


def test_every_number_of_the_labels_is_that_of_the_matrix() -> None:
    """Precision and recall with Wilson's interval; undefined is null."""
    counts = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]])
    matrix = ConfusionMatrix(("a", "b"), counts)
    view = MatrixView("t", Stamp("s", None, 4, "r"), ("a", "b"), (RuleView("highest", "Highest", matrix),))
    scores = payload(view)["rules"][0]["scores"]

    assert scores["recall"][0] == pytest.approx([0.75, *wilson(3, 4)], abs=1e-6)
    assert scores["precision"][0] == pytest.approx([1, *wilson(3, 3)], abs=1e-6)
    assert scores["recall"][1] == [None, None, None]
    assert scores["support"] == [4, 0]


def test_headline_numbers_lie_in_their_intervals() -> None:
    """Accuracy of the small view is 16 of 20, whatever the rule says afterwards."""
    rules = payload(pages.small())["rules"]

    assert rules[0]["headline"][0]["about"] == "16 of 20 right"
    assert rules[1]["headline"][0]["about"] == "15 of 20 right"
    assert all(one["low"] <= one["value"] <= one["high"] for rule in rules for one in rule["headline"])


def test_a_multi_label_page_scores_its_labels_by_their_own_tables() -> None:
    """A label's recall is that of its 2×2 table, not a share of decisions."""
    view = pages.tags()
    assert view.rules[0].binary is not None
    expected = label_scores_from_binary(view.rules[0].binary)
    scores = payload(view)["rules"][0]["scores"]

    assert [rate[0] for rate in scores["recall"]] == pytest.approx(expected.recall.tolist(), abs=1e-6)
    assert [rate[0] for rate in scores["f1"]] == pytest.approx(expected.f1.tolist(), abs=1e-6)
    assert all(low <= value <= high for value, low, high in scores["f1"])
    assert expected.recall.tolist() != label_scores(view.rules[0].matrix).recall.tolist()


@pytest.mark.parametrize("view", [pages.small, pages.tags, pages.hostile])
def test_the_images_of_a_cell_are_as_many_as_it_counts(view: Callable[[], MatrixView]) -> None:
    """The list behind each cell of each rule and the number in it come from different code and agree."""
    shown = view()
    data = payload(shown)
    side = len(shown.labels) + 1
    for number, rule in enumerate(shown.rules):
        assert isinstance(rule.matrix, ConfusionMatrix)
        listed = np.zeros(side * side, int)
        for image in data["images"]:
            np.add.at(listed, image["cells"][number], 1)

        assert listed.reshape(side, side).tolist() == rule.matrix.counts.tolist()


def test_a_finding_points_at_its_cell() -> None:
    """The confusion of closets with bedrooms leads to true closet, predicted bedroom."""
    findings = payload(pages.small())["rules"][0]["findings"]
    confusion = next(finding for finding in findings if finding["kind"] == "confusion")

    assert confusion["cell"] == [1, 0]
    assert confusion["rate"]["share"] == 0.5


def test_too_many_labels_give_pairs_and_sums_instead_of_a_matrix() -> None:
    """Above 2,000 labels the page holds the most confused pairs, and still every denominator."""
    view = pages.many(2_001, n_images=4_000)
    rule = payload(view)["rules"][0]

    assert [sum(side) for side in rule["sums"]] == [4_000, 4_000]
    assert len(rule["cells"]) < 3 * 2_400


def test_two_thousand_images_in_ten_labels_stay_under_five_megabytes() -> None:
    """With 30 % wrong and thumbnails as large as photographs give, every wrong image has its picture."""
    picture = pages.webp(1, quality=80).ljust(2_600, b"\0")
    view = pages.many(10, n_images=2_000, wrong=0.4, is_listed=True, picture=picture)
    page = standalone(view)
    images = data_of(page)["images"]
    wrong = [image for image in images if image["cells"][0][0] % 12]

    assert len(page.encode()) < 5_000_000
    assert len(images) == 2_000
    assert len(wrong) > 500
    assert all("thumbnail" in image for image in wrong)


def test_the_budget_holds_whatever_is_handed_in() -> None:
    """A view with more pictures than fit loses the last ones, not its names."""
    images = tuple(ImageView(f"{i}.jpg", (0,), ((1,), (1,)), 0.5, b"\xff" * 60_000) for i in range(100))
    page = standalone(replace(pages.small(), images=images))
    shown = data_of(page)["images"]

    assert len(page.encode()) <= BUDGET
    assert len(shown) == 100
    assert ["thumbnail" in image for image in shown] == sorted(("thumbnail" in image for image in shown), reverse=True)


def test_many_images_are_listed_twelve_a_cell() -> None:
    """10,000 images of 100 labels stay under 5 MB."""
    view = pages.many(100, n_images=10_000, is_listed=True, picture=b"\xff" * 2_500)

    assert len(view.images) <= 12 * 400
    assert len(standalone(view).encode()) < 5_000_000


def test_a_frame_can_touch_nothing_around_it() -> None:
    """The notebook's iframe is sandboxed, and the page in it is the page."""
    snippet = frame(pages.hostile(), height=500)
    tags = Elements(snippet).tags

    assert [tag for tag, _ in tags] == ["iframe"]
    assert tags[0][1]["sandbox"] == "allow-scripts allow-downloads"
    assert tags[0][1]["srcdoc"] == standalone(pages.hostile())


def test_the_stamp_says_what_is_known_and_nothing_else() -> None:
    """Unknown parts leave no gap."""
    stamp = Stamp("x.csv", None, 3, "as given")

    assert stamp_line(MatrixView("", stamp, (), ())) == "x.csv · 3 images · as given"
    assert stamp_line(pages.small()).endswith("sha256:4f8a · 2026-03-04 05:06 UTC")


def test_every_rule_has_its_own_stamp() -> None:
    """Under another rule the line names that rule."""
    lines = [rule["stamp"] for rule in payload(pages.small())["rules"]]

    assert "highest score" in lines[0]
    assert lines[1] == lines[0].replace("highest score", "assumed thresholds")


def test_undefined_thresholds_are_null() -> None:
    """NaN never reaches the page."""
    assert payload(pages.small())["rules"][1]["thresholds"] == [0.5, 0.25, None, 0.75]


@pytest.mark.parametrize("labels", [("only",), ("a", "b", "c")])
def test_an_empty_matrix_still_has_a_page(labels: tuple[str, ...]) -> None:
    """No images at all: every rate is undefined, nothing fails."""
    empty = ConfusionMatrix.empty(labels)
    page = standalone(MatrixView("t", Stamp("s", "test", 0, "r"), labels, (RuleView("highest", "Highest", empty),)))

    assert data_of(page)["rules"][0]["headline"][0]["value"] is None


def test_the_page_has_something_to_say_without_scripts() -> None:
    """A mail program that runs no scripts still shows the numbers of each label."""
    page = standalone(pages.small())
    fallback = page[page.index("<noscript>") : page.index("</noscript>")]

    assert "80.0 %" in fallback
    assert "<td>closet</td><td>4</td>" in fallback


def test_labels_that_look_the_same_have_names_that_do_not() -> None:
    """The page shows the code of what differs; commands keep the label as it is."""
    matrix = ConfusionMatrix.from_cells([("caf\u00e9", "cafe\u0301", 3), ("b", "b", 1)])
    rules = (RuleView("highest", "Highest", matrix),)
    content = payload(MatrixView("t", Stamp("s", "test", 4, "highest score"), matrix.labels, rules))

    assert content["labels"] == list(matrix.labels)
    assert sorted(content["names"]) == sorted(["b", "caf\u00e9", "cafe\\u0301"])
