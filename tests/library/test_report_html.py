"""`report.html` is the report and its pictures in one file: it loads nothing, and a user's text makes no element."""

from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from sbert_prune.report.html import Report, add_tip
from sbert_prune.report.tables import table

EVIL = '<script>alert(1)</script> "<img src=//evil.example/x>" ![x](//evil.example/y) [z](javascript:a(2)) <!-- &lt;'


class Elements(HTMLParser):
    """Collects elements, their attributes and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"src", "href", "xlink:href", "action", "data"}]

    def handle_data(self, data):
        self.text += data


def drawn(label: str) -> Figure:
    figure = Figure(figsize=(2, 2))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1])
    axes.set_title(label)
    add_tip(axes, 0.5, 0.5, label)
    return figure


def test_what_a_user_wrote_is_text_wherever_it_stands():
    cells = table(("a", EVIL), [(EVIL, f"`{EVIL}` | {EVIL}")])
    report = Report(f"# Recipe {EVIL}\n\n{EVIL}\n\n- base: {EVIL}\n\n{cells}\n\n![](p.png)\n", {"p.png": drawn(EVIL)})

    page = Elements(report.page())

    assert not {"script", "a", "iframe", "object", "form", "link"} & set(page.tags)
    assert page.tags.count("img") == 0
    assert all(link.startswith("#") for link in page.links)
    assert page.text.count("alert(1)") >= 7


def test_pictures_are_inside_figures_with_their_tips_and_others_as_data():
    png = b"\x89PNG..."
    page = Report(
        "# T\n\n![one](one.png)\n\n![two](two.png)\n\n![gone](gone.png)\n",
        {"one.png": drawn("layers 0,2"), "two.png": png},
    )

    elements = Elements(page.page())

    assert elements.tags.count("svg") == 1
    assert "<title>layers 0,2</title>" in page.page()
    assert [link for link in elements.links if link.startswith("data:image/png;base64,")]
    assert "gone" in elements.text
    assert "metadata" not in elements.tags


def test_tables_scroll_and_keep_their_cells():
    text = Report("# T\n\n" + table(("a", "b"), [("x|y", 1.5)]) + "\n").page()

    assert "<div><table>" in text
    assert ">x|y</td>" in text


@pytest.mark.parametrize("rest", ["", "- base: b\n"])
def test_what_leads_a_report_stands_between_its_title_and_the_rest(rest):
    report = Report(f"# T\n\n{rest}").led_by("Promotable.", "", "| a |", variants=drawn("v"))

    assert report.text.startswith("# T\n\nPromotable.\n\n| a |\n\n![variants](variants.png)\n\n" + rest)
    assert set(report.pictures) == {"variants.png"}
