"""What notebooks show of results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def html_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in HTML: text to the left in the first column, to the right in the others."""
    head = _row("th", header)
    body = "".join(_row("td", row) for row in rows)
    return f"<div><b>{escape(title)}</b><table>{head}{body}</table></div>"


def _row(tag: str, cells: Sequence[str]) -> str:
    sides = ("left" if not number else "right" for number in range(len(cells)))
    parts = (
        f"<{tag} style='text-align:{side}'>{escape(cell)}</{tag}>"
        for side, cell in zip(sides, cells, strict=True)
    )
    return f"<tr>{''.join(parts)}</tr>"
