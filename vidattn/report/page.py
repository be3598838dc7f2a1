from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from vidattn.report.sections import Section


def render_page(
    title: str,
    sections: Sequence[Section],
    *,
    summary: str = "",
    facts: Mapping[str, str] | None = None,
) -> str:
    """One HTML page that needs nothing beside itself: no script, no link, images inside.

    Only a page with a `Player` has a script, and refers to the films and their pictures. All text
    is escaped, whatever it holds. Write it with `vidattn.files.write_text`.

    Args:
        title: heading of the page.
        sections: in order; see `vidattn.report.sections`.
        summary: a sentence or two under the title.
        facts: name -> value, in small print at the end: versions, seed, settings.
    """
    page = _template().render(title=title, summary=summary, sections=sections, facts=facts or {})
    # A file name that is no UTF-8 holds lone surrogates, which no HTML file can.
    return page.encode("utf-8", errors="replace").decode("utf-8")


@cache
def _template() -> Template:
    folder = Path(__file__).with_name("templates")
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")
