"""Names of regions: from a table beside the labels, or asked for; never assumed."""

from pathlib import Path

import pytest

from uqrestore.posterior import PosteriorError
from uqrestore.reports.labels import KNOWN, region_names

TABLES = {
    "bids.tsv": "index\tname\tshort\n17\tLeft hippocampus\tL\n53\tRight hippocampus\tR\n",
    "colours.txt": "#No. Label Name:\tR G B A\n17  Left hippocampus  220 216 20 0\n"
    "53  Right hippocampus 220 216 20 0\n",
    "list.csv": '17,Left hippocampus\n53,"Right hippocampus"\n',
    "plain.txt": "17 Left hippocampus\n\n53 Right hippocampus\n",
    "marked.tsv": "\ufeffid\tname\n17\tLeft hippocampus\n53\tRight hippocampus\n",
}


@pytest.mark.parametrize("table", TABLES)
def test_tables_of_every_kind_are_read(tmp_path: Path, table: str) -> None:
    (tmp_path / table).write_text(TABLES[table], encoding="utf-8")
    found = region_names(tmp_path / "labels.nii.gz", str(tmp_path / table))
    assert found == {17: "Left hippocampus", 53: "Right hippocampus"}


def test_a_table_beside_the_labels_is_found(tmp_path: Path) -> None:
    labels = tmp_path / "sub-1_dseg.nii.gz"
    assert region_names(labels, None) == {}
    (tmp_path / "sub-1_dseg.tsv").write_text(TABLES["bids.tsv"])
    assert region_names(labels, None)[53] == "Right hippocampus"


def test_the_same_number_means_other_regions_in_known_tables() -> None:
    labels = Path("labels.nii.gz")
    dlmuse, freesurfer = (region_names(labels, name) for name in KNOWN)
    assert len(dlmuse) == 145
    assert dlmuse[4] == "3rd ventricle"
    assert freesurfer[4] == "Left-Lateral-Ventricle"
    assert (dlmuse[47], dlmuse[48]) == ("right hippocampus", "left hippocampus")
    assert (freesurfer[53], freesurfer[17]) == ("Right-Hippocampus", "Left-Hippocampus")
    assert (freesurfer[1024], freesurfer[2035]) == ("ctx-lh-precentral", "ctx-rh-insula")


@pytest.mark.parametrize("line", ["hippocampus 17", "17", "17 255 0 0 1 1 1", "-3 outside"])
def test_a_line_that_is_no_number_and_name_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "t.txt").write_text(f"1 one\n{line}\n")
    with pytest.raises(PosteriorError, match=r"t\.txt: line 2.*wanted a number and a name"):
        region_names(tmp_path / "l.nii", str(tmp_path / "t.txt"))


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(PosteriorError, match="one of dlmuse, freesurfer"):
        region_names(Path("l.nii"), "desikan")
