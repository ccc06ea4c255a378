"""Write the table of docs/benchmarks-operators.md: ``python -m tests.benchmarks.table PYTHON``.

PYTHON is an interpreter with this package, its extra ``test`` and deepinv installed; deepinv is
never a dependency, so it has an environment of its own.
"""

import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks-operators.md"
START, END = "<!-- table -->\n", "<!-- end of table -->\n"


def measure(python: str) -> list[dict[str, float | str]]:
    """Run the benchmarks on one thread and return their rows."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "rows.json"
        command = ["-m", "pytest", "tests/benchmarks", "--benchmark-only"]
        subprocess.run(
            [python, *command, f"--benchmark-json={result}"],
            check=True,
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        runs = json.loads(result.read_text())["benchmarks"]
    return [run["extra_info"] for run in runs if "ratio" in run["extra_info"]]


def machine(python: str) -> str:
    """Name processor, Python and the versions that matter."""
    versions = "sys.version.split()[0], torch.__version__, peers.deepinv().__version__"
    code = f"import sys, torch; from tests.benchmarks import peers; print({versions})"
    out = subprocess.run([python, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    version, torch, deepinv = out.stdout.split()[-3:]
    cpuinfo = Path("/proc/cpuinfo")
    names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    processor = names[0].split(":")[1].strip() if names else platform.processor()
    return f"{processor}, one thread; Python {version}, torch {torch}, deepinv {deepinv}"


def render(rows: list[dict[str, float | str]], where: str) -> str:
    """Return the table in Markdown."""
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    lines = [
        f"Measured {today} on {where}.\n",
        "| case | against | ours (ms) | theirs (ms) | ratio | wanted | |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        short = "" if float(row["ratio"]) >= float(row["wanted"]) else "falls short. "
        lines.append(
            f"| {row['case']} | {row['reference']} | {row['ours_ms']:.3f} | "
            f"{row['reference_ms']:.3f} | {row['ratio']:.2f} | {row['wanted']:.2f} | "
            f"{short}{row['note']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and rewrite the page."""
    python = sys.argv[1]
    page = PAGE.read_text()
    before, rest = page.split(START)
    after = rest.split(END)[1]
    table = render(measure(python), machine(python))
    PAGE.write_text(before + START + table + END + after)


if __name__ == "__main__":
    main()
