"""Bar charts as SVG: text that any browser shows, made without a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

_WIDTH: Final = 900
_LABEL: Final = 330
_VALUE: Final = 130
_ROW: Final = 22
_HEADING: Final = 34
_COLOURS: Final = ("#3b6ea5", "#5b9a68", "#b5803a", "#8a5a9e", "#a04d4d", "#6b6b6b")


@dataclass(frozen=True, slots=True)
class Bar:
    """value: from 0; text: what stands beside it; group: bars of one group have one colour"""

    label: str
    value: float
    text: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars of one unit, drawn to one scale. mark: a value that gets a line, such as a target; None: no line"""

    title: str
    bars: Sequence[Bar]
    mark: float | None = None


def svg(title: str, panels: Sequence[Panel]) -> str:
    """The whole document."""
    parts: list[str] = [_text(16, 24, title, size=16, weight="bold")]
    top = 40
    for panel in panels:
        parts.append(_text(16, top + 20, panel.title, size=13, weight="bold"))
        top += _HEADING
        parts += _panel(panel, top)
        top += _ROW * len(panel.bars) + 12
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}"'
    return "\n".join(
        [
            f'{head} font-family="sans-serif">',
            f'<rect width="{_WIDTH}" height="{top}" fill="white"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _panel(panel: Panel, top: int) -> list[str]:
    greatest = max((*(bar.value for bar in panel.bars), panel.mark or 0.0), default=0.0) or 1.0
    scale = (_WIDTH - _LABEL - _VALUE) / greatest
    groups = list(dict.fromkeys(bar.group for bar in panel.bars))
    parts = []
    for number, bar in enumerate(panel.bars):
        y = top + number * _ROW
        colour = _COLOURS[groups.index(bar.group) % len(_COLOURS)]
        width = max(1.0, bar.value * scale)
        parts.append(_text(_LABEL - 8, y + 14, bar.label, anchor="end"))
        parts.append(f'<rect x="{_LABEL}" y="{y + 3}" width="{width:.1f}" height="{_ROW - 6}" fill="{colour}"/>')
        parts.append(_text(_LABEL + width + 6, y + 14, bar.text))
    if panel.mark is not None:
        x = _LABEL + panel.mark * scale
        bottom = top + _ROW * len(panel.bars)
        parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="#333" stroke-dasharray="4 3"/>')
    return parts


def _text(x: float, y: float, text: str, *, size: int = 12, weight: str = "normal", anchor: str = "start") -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
