"""The documentation: MyST pages, an API reference from docstrings, the command line from itself."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))

from generate import write_generated  # noqa: E402  (after the path is set)

from uqrestore._shared.version import __version__  # noqa: E402

project = "uqrestore"
copyright = "the uqrestore developers, Apache-2.0"
release = version = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "mathml",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
math_number_all = False
numfig = True
html_math_renderer = "mathml"
exclude_patterns = ["_build", "README.md"]
html_theme = "furo"
html_title = "uqrestore"
html_static_path: list[str] = []
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_mock_imports = ["monai", "natten"]
napoleon_google_docstring = True
napoleon_use_ivar = True
napoleon_attr_annotations = False  # shapes such as "*batch row" are no markup
nitpicky = False
suppress_warnings = ["myst.strikethrough"]

write_generated(HERE)
