"""The explorer on a page without Jupyter: its module and a stand-in for the model."""

import base64
import json
from pathlib import Path

from uqrestore.explorer import OpenPosterior

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>explorer</title>
<style>body {{ margin: 12px; background: #fff }} {css}</style><div id="el"></div>
<script type="module">
{esm}
const values = {values};
values.arrays = new DataView(Uint8Array.from(atob("{arrays}"), (c) => c.charCodeAt(0)).buffer);
const heard = {{}};
window.model = {{
  get: (name) => values[name],
  set: (name, value) => {{ values[name] = value; }},
  save_changes: () => {{}},
  on: (name, call) => {{ heard[name] = call; }},
}};
explorer.render({{ model: window.model, el: document.getElementById("el") }});
</script></html>"""


def stage(posterior: OpenPosterior, folder: Path, z: int) -> Path:
    """Write a page that shows the explorer of a slice."""
    from uqrestore.explorer.widget import HERE

    widget = posterior.explore(z)
    values = {
        "meta": widget.meta,
        "z": z,
        "alpha": widget.alpha,
        "pixel": [],
        "region": [],
        "scope": [],
    }
    esm = (HERE / "explorer.js").read_text().replace("export default", "const explorer =")
    page = folder / "explorer.html"
    page.write_text(
        PAGE.format(
            css=(HERE / "explorer.css").read_text(),
            esm=esm,
            values=json.dumps({**values, "code": ""}),
            arrays=base64.b64encode(widget.arrays).decode(),
        )
    )
    return page
