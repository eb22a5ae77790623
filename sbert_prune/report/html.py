"""The report of a run: `report.md`, and `report.html`, one file with its pictures that loads nothing else."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.figure import Figure

from sbert_prune.tracking.runs import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sbert_prune.tracking.runs import Run

REPORT, PAGE = "report.md", "report.html"

_RULES = ("heading", "list", "table", "image", "backticks", "escape")
"""The Markdown that reports use. All else is text: a name or a sentence of the user makes no link and no element."""

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.3rem } h2 { font-size: 1.1rem; margin-top: 2rem }
h1 + p { font-size: 1.1rem; padding: .7rem 1rem; border-left: .3rem solid #0072b2; background: #0072b21a }
code { font-size: .9em; background: #8883; padding: .1em .3em; border-radius: .2em }
div { overflow-x: auto } table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #8885; white-space: nowrap }
svg, img { max-width: 100%; height: auto; background: white; border-radius: .3rem }
</style>
"""

_TIP = "tip:"
_TIP_GROUP = re.compile(rf'<g id="{_TIP}([^"]*)">')
_BESIDES = re.compile(r"^.*(?=<svg)|<metadata>.*</metadata>", re.DOTALL)


def tip(text: str) -> str:
    """Return the gid of a part of a figure that makes `report.html` show a text while the pointer is over it."""
    return _TIP + text.replace('"', "'")


def add_tip(axes: Axes, x: float, y: float, text: str) -> None:
    """Show a text in `report.html` while the pointer is over a point of a picture."""
    axes.scatter([x], [y], s=150, alpha=0, zorder=9, gid=tip(text))


@dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        text: Its text in Markdown; the first line is the title.
        pictures: Figures, or PNG bytes, by the file names in the text.
    """

    text: str
    pictures: Mapping[str, Figure | bytes] = field(default_factory=dict)

    def led_by(self, *parts: str, **figures: Figure) -> Report:
        """Return the report with paragraphs, tables and figures right after its title; empty parts are left out."""
        title, _, rest = self.text.partition("\n")
        added = [*filter(None, parts), *(f"![{name}]({name}.png)" for name in figures)]
        named = {f"{name}.png": figure for name, figure in figures.items()}
        return Report("\n\n".join([title, *added, rest.lstrip()]), {**self.pictures, **named})

    def log(self, run: Run) -> None:
        """Log the text, the page and the pictures to a run."""
        for name, picture in self.pictures.items():
            run.log_bytes(render(picture, name) if isinstance(picture, Figure) else picture, name)
        run.log_text(self.text, REPORT)
        run.log_text(self.page(), PAGE)

    def page(self) -> str:
        """Return the report as a page without scripts, which loads nothing from elsewhere."""
        from markdown_it import MarkdownIt

        elements = {name: _element(picture) for name, picture in self.pictures.items()}
        markdown = MarkdownIt("zero").enable(_RULES)
        rules = {
            "image": lambda _, tokens, at, *__: elements.get(tokens[at].attrs["src"], escape(tokens[at].content)),
            "table_open": lambda *_: "<div><table>\n",
            "table_close": lambda *_: "</table></div>\n",
        }
        for name, rule in rules.items():
            markdown.add_render_rule(name, rule)
        title = self.text.partition("\n")[0].lstrip("# ")
        return f"{_HEAD}<title>{escape(title)}</title></head>\n<body>\n{markdown.render(self.text)}</body></html>\n"


def _element(picture: Figure | bytes) -> str:
    """Return a picture as an element: a figure as SVG with its tips, in the browser's fonts, which have all scripts."""
    if isinstance(picture, bytes):
        return f'<img alt="" src="data:image/png;base64,{b64encode(picture).decode()}">'
    with rc_context({"svg.fonttype": "none"}):
        return _TIP_GROUP.sub(r"<g><title>\1</title>", _BESIDES.sub("", render(picture, "picture.svg").decode()))
