"""A figure of matplotlib written as SVG: text stays text, so that any script shows that the reader's machine has a font for.

Whoever draws does so on a figure of its own: no global state of matplotlib is touched.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: what a reader's machine may draw the text with; matplotlib measures with the first
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Microsoft YaHei",
    "PingFang SC",
    "SimHei",
    "WenQuanYi Zen Hei",
)
BLUE, RED, GREY = "#1f5fa8", "#b3362b", "#8a8a8a"


@contextmanager
def svg_figure(path: Path, width: float, height: float, left: float = 0.75) -> Iterator[Any]:
    """A figure of so many inches that is written to `path` at the end. Its bytes depend on what is drawn alone."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "finflow",
        "font.family": [_FONTS[0]],
        "font.size": 8.0,
        "axes.unicode_minus": False,
        "axes.titley": 1.0,  # or every tick label is measured once more to see whether a title is in its way
        "text.parse_math": False,  # names may hold dollar signs
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's machine draws the text
        figure = Figure(figsize=(width, height))
        canvas = FigureCanvasSVG(figure)
        figure.subplots_adjust(left=left / width, right=1 - 0.2 / width, bottom=0.5 / height, top=1 - 0.35 / height, hspace=0.35)
        yield figure
        drawing = io.StringIO()
        canvas.print_svg(drawing, metadata={"Date": None, "Creator": None})
        families = ", ".join(f"'{name}'" for name in _FONTS)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(drawing.getvalue().replace(f"'{_FONTS[0]}'", families), encoding="utf-8")
