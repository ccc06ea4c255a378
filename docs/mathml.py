"""Formulas as MathML, which every browser draws without a network."""

from typing import Any

from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util.math import get_node_equation_number


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer; Sphinx calls this."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(self: Any, node: Any) -> None:  # noqa: ANN401  (docutils is untyped)
    self.body.append(convert(node.astext()))
    _skip()


def _block(self: Any, node: Any) -> None:  # noqa: ANN401
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        number = get_node_equation_number(self, node)
        self.body.append(f'<span class="eqno">({number})</span>')
    self.body.append(convert(node.astext(), display="block"))
    self.body.append("</div>")
    _skip()


def _skip() -> None:
    from docutils.nodes import SkipNode

    raise SkipNode
