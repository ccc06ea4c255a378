"""A mistake in a pipeline file names its file, line and key, and what could stand there."""

from pathlib import Path

import pytest

from uqrestore.pipeline import PipelineError, RestorePipeline, change, read_pipeline

GOOD = """\
kind: restore
title: A test
operator:
  name: masked_fourier
  channels: 1
  mask: {law: cartesian, acceleration: 4, center_lines: 5}
prior: brain64-gaussian
method: {name: ddnm, steps: 7}
draws: 4
components: 2
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "p.yaml"
    path.write_text(text)
    return path


def test_options_stand_beside_the_name(tmp_path: Path) -> None:
    pipeline = read_pipeline(write(tmp_path, GOOD))

    assert isinstance(pipeline, RestorePipeline)
    assert pipeline.method.name == "ddnm"
    assert pipeline.method.options == {"steps": 7}
    assert pipeline.operator is not None
    assert pipeline.operator.options == {"channels": 1}
    assert pipeline.operator.mask is not None
    assert pipeline.operator.mask.options == {"acceleration": 4, "center_lines": 5}


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("draws: 4", "drawz: 4", 9, ["drawz", "Did you mean 'draws'?"]),
        ("draws: 4", "draws: 1", 9, ["draws", "greater than or equal to 2", "got 1"]),
        ("draws: 4", "draws: four", 9, ["draws", "integer", "'four'"]),
        ("draws: 4", "draws: 3", 1, ["components: 2 needs draws: 4"]),
        ("prior: brain64-gaussian\n", "", 1, ["prior", "missing"]),
        ("kind: restore", "kind: restor", 1, ["kind", "Did you mean 'restore'?"]),
        ("kind: restore\n", "", 1, ["'kind' is missing", "benchmark, restore, train"]),
        ("name: masked_fourier\n", "nam: masked_fourier\n", 3, ["operator.name", "missing"]),
        ("method: {name: ddnm, steps: 7}", "method: ddnm", 8, ["method", "mapping", "'ddnm'"]),
        ("components: 2", "components: 2\ndraws: 5", 11, ["draws", "twice"]),
        ("draws: 4", "draws: [4", 10, ["not valid YAML"]),
        ("draws: 4", "noise_std: .nan\ndraws: 4", 9, ["noise_std", "finite"]),
        ("draws: 4", "noise_std: -1\ndraws: 4", 9, ["noise_std", "greater than or equal to 0"]),
    ],
)
def test_a_mistake_is_one_line_with_file_line_and_key(
    tmp_path: Path, old: str, new: str, line: int, words: list[str]
) -> None:
    path = write(tmp_path, GOOD.replace(old, new))

    with pytest.raises(PipelineError) as caught:
        read_pipeline(path)

    text = str(caught.value)
    assert text.startswith(f"{path}:{line}: ")
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("text", ["", "just words", "- a\n- list\n", "null\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(PipelineError, match="mapping that starts with 'kind"):
        read_pipeline(write(tmp_path, text))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(b"\xff\xfe\x00\x80kind")

    with pytest.raises(PipelineError, match=r"p\.yaml: cannot be read as text"):
        read_pipeline(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"gone\.yaml: no such pipeline file"):
        read_pipeline(tmp_path / "gone.yaml")
    with pytest.raises(PipelineError, match="is a folder"):
        read_pipeline(tmp_path)


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    path = write(tmp_path, "kind: !!python/object/apply:os.getcwd []\n")

    with pytest.raises(PipelineError, match="not valid YAML"):
        read_pipeline(path)


def test_the_hash_depends_on_results_and_not_on_texts(tmp_path: Path) -> None:
    pipeline = read_pipeline(write(tmp_path, GOOD))

    def sha(old: str, new: str) -> str:
        return read_pipeline(write(tmp_path, GOOD.replace(old, new))).sha256

    assert sha("A test", "Another title") == pipeline.sha256
    assert sha("draws: 4", "draws: 4\nbatch_size: 7") == pipeline.sha256
    assert sha("steps: 7", "steps: 8") != pipeline.sha256
    assert sha("channels: 1", "channels: 2") != pipeline.sha256
    assert sha("draws: 4", "draws: 4\nseed: 1") != pipeline.sha256


def test_changes_are_checked_like_a_file(tmp_path: Path) -> None:
    pipeline = read_pipeline(write(tmp_path, GOOD))

    changed = change(pipeline, draws=8, seed=None)

    assert isinstance(changed, RestorePipeline)
    assert (changed.draws, changed.seed, changed.method) == (8, 0, pipeline.method)  # type: ignore[attr-defined]
    with pytest.raises(PipelineError, match=r"draws: .* got 1"):
        change(pipeline, draws=1)
    with pytest.raises(PipelineError, match="components: 2 needs draws: 4"):
        change(pipeline, draws=3)


def bomb(levels: int = 12, width: int = 10) -> str:
    """Return a small file whose aliases of aliases stand for ``width ** levels`` values."""
    lines = ["kind: restore", "title: bomb", "a0: &a0 [1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(), "more than 10000 values"),
        (GOOD + "extra: &a [*a]\n", "nested deeper than 20 levels"),
        (GOOD + "extra: " + "[" * 40 + "]" * 40 + "\n", "nested deeper than 20 levels"),
        (GOOD + "extra: " + "{a: " * 5000 + "1" + "}" * 5000 + "\n", "nested deeper than 20"),
        (GOOD + "? [a, b]\n: 3\n", "a key is a list or mapping"),
        (GOOD + "? {a: b}\n: 3\n", "a key is a list or mapping"),
        (GOOD.replace("title: A test", "title: A\x07 test"), r"holds '\\x07'"),
        (GOOD.replace("title: A test", 'title: "\\e]0;gone\\a"'), r"holds '\\x1b'"),
        (GOOD.replace("brain64-gaussian", '"a\\0b"'), r"holds '\\x00'"),
        (GOOD.replace("draws:", '"draws\\e[31m":'), r"holds '\\x1b'"),
        (GOOD + "seed: 1.0e+30\n", "seed: .*exceeded maximum size"),
        (GOOD + f"seed: {10**30}\n", "seed: should be less than or equal to"),
        (GOOD + f"seed: {'9' * 5000}\n", "not valid YAML: Exceeds the limit"),
        (GOOD.replace("draws: 4", f"draws: {10**30}"), "draws: should be less than or equal to"),
        (GOOD + "day: 2020-13-45\n", "not valid YAML: month must be in 1..12"),
        ("kind: restore\n" + "#" * 2**20, "is larger than 1048576 bytes"),
    ],
)
def test_what_no_pipeline_holds_is_refused_at_once_in_one_line(
    tmp_path: Path, text: str, words: str
) -> None:
    path = write(tmp_path, text)

    with pytest.raises(PipelineError, match=words) as caught:
        read_pipeline(path)

    assert str(caught.value).startswith(f"{path}:")
    assert len(str(caught.value)) < len(str(path)) + 300
    assert str(caught.value).isprintable()


def test_aliases_that_are_few_are_allowed(tmp_path: Path) -> None:
    text = GOOD.replace("{name: ddnm, steps: 7}", "{name: &name ddnm, steps: 7}")
    text = text.replace("title: A test", "title: *name")
    lines = text.splitlines()
    lines.insert(len(lines), lines.pop(1))  # an alias stands below its anchor

    assert read_pipeline(write(tmp_path, "\n".join(lines))).title == "ddnm"
