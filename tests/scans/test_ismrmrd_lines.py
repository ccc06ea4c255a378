"""Acquisition headers of ISMRMRD: every flag, counter and field is used or refused by name."""

from collections.abc import Callable
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest

from tests.scans.rawfiles import write_ismrmrd
from tests.scans.scenes import blob
from uqrestore.scans import RawScan, ScanError, read_input
from uqrestore.scans.ismrmrd_lines import (
    BOUNDARY,
    CALIBRATION,
    COMPRESSED,
    COUNTERS,
    FIELDS,
    FLAGS,
    FREE,
    LEFT_OUT,
    NOISE,
    ONE_VALUE,
    PHASE_CORRECTION,
    SITE,
    VOLUME,
)
from uqrestore.scans.kspace import to_image, to_kspace

SIZE, COILS, STD = 16, 3, 0.02
Edit = Callable[[np.ndarray], np.ndarray | None]


def image_lines(data: np.ndarray) -> np.ndarray:
    """Return the indices of the lines that are not the noise scan."""
    return np.flatnonzero((data["head"]["flags"] & (1 << 18)) == 0)


def written(path: Path, edit: Edit | None = None, slices: int = 2, **header: str | int) -> RawScan:
    """Write an acquisition, edit its lines and read it."""
    images = 10 * blob((SIZE, SIZE, 3))[..., :slices]
    write_ismrmrd(
        path, images, np.diag([3.0, 3, 3, 1]), np.ones(SIZE, bool), STD, COILS,
        noise_scan=True, mixing=None, **header,
    )  # fmt: skip
    if edit is not None:
        with h5py.File(path, "r+") as file:
            group = file["dataset"]
            assert isinstance(group, h5py.Group)
            data, kind = np.asarray(group["data"][...]), group["data"].dtype  # type: ignore[union-attr]
            changed = edit(data)
            data = data if changed is None else changed
            del group["data"]
            group.create_dataset("data", data=data, dtype=kind)
    raw = read_input(path)
    assert isinstance(raw, RawScan)
    return raw


def with_junk(data: np.ndarray, flag: int) -> np.ndarray:
    """Append a copy of an image line with other values, under a flag."""
    extra = data[image_lines(data)[3:4]].copy()
    extra["head"]["flags"] |= 1 << (flag - 1)
    extra["head"]["idx"]["average"] = 1
    extra["data"][0] = 50 * extra["data"][0][::-1]
    return np.concatenate([data, extra])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RawScan:
    return written(tmp_path_factory.mktemp("plain") / "a.mrd")


def test_every_flag_of_the_standard_has_a_use() -> None:
    defined = {
        value for name, value in vars(ismrmrd.constants).items()
        if name.startswith("ACQ_") and isinstance(value, int)
    }  # fmt: skip
    assert defined == set(FLAGS)


def test_every_field_and_counter_of_the_standard_has_a_use() -> None:
    header = ismrmrd.hdf5.acquisition_header_dtype
    assert set(header.names or ()) == set(FIELDS)
    assert set(header["idx"].names or ()) == set(COUNTERS)


@pytest.mark.parametrize("flag", range(1, 65))
def test_a_flag_is_used_or_refused_by_name(flag: int, plain: RawScan, tmp_path: Path) -> None:
    label, use = FLAGS.get(flag, ("", ""))

    def mark(data: np.ndarray) -> None:
        data["head"]["flags"][image_lines(data)[5]] |= 1 << (flag - 1)

    path = tmp_path / "a.mrd"
    if use in {"", COMPRESSED, SITE}:
        with pytest.raises(ScanError, match=label or f"flag {flag}, which ISMRMRD does not"):
            written(path, mark)
    elif use == BOUNDARY or flag == 21:
        np.testing.assert_array_equal(written(path, mark).samples, plain.samples)
    elif use in {LEFT_OUT, PHASE_CORRECTION, CALIBRATION}:
        raw = written(path, lambda data: with_junk(data, flag))
        np.testing.assert_array_equal(raw.samples, plain.samples)
        assert f"1 {label} lines left out" in raw.source.note or use == CALIBRATION
    elif use == NOISE:
        with pytest.raises(ScanError, match="sampled differently"):
            written(path, mark)
    else:
        assert label == "reversed readout"


def test_reversed_lines_are_turned_and_discards_count_from_their_start(
    plain: RawScan, tmp_path: Path
) -> None:
    def turn(data: np.ndarray) -> None:
        for i in image_lines(data)[::2]:
            line = data["data"][i].view(np.complex64).reshape(COILS, -1)
            data["data"][i] = np.ascontiguousarray(line[:, ::-1]).view(np.float32).ravel()
            data["head"]["flags"][i] |= 1 << 21
            data["head"]["center_sample"][i] = 2 * SIZE - 1 - SIZE

    raw = written(tmp_path / "a.mrd", turn)
    np.testing.assert_allclose(raw.samples, plain.samples, atol=1e-5)

    def cut(data: np.ndarray) -> None:
        turn(data)
        reversed_ = np.flatnonzero(data["head"]["flags"] & (1 << 21))
        data["head"]["discard_post"][reversed_] = 4
        data["head"]["discard_pre"][np.setdiff1d(image_lines(data), reversed_)] = 4

    raw = written(tmp_path / "b.mrd", cut)
    assert raw.sampled.mean() == pytest.approx(1 - 4 / (2 * SIZE))


def test_echo_planar_lines_that_need_a_phase_correction_are_refused(tmp_path: Path) -> None:
    def edit(data: np.ndarray) -> np.ndarray:
        data["head"]["flags"][image_lines(data)[::2]] |= 1 << 21
        return with_junk(data, 24)

    with pytest.raises(ScanError, match=r"echo-planar .1 phase-correction lines"):
        written(tmp_path / "a.mrd", edit)


@pytest.mark.parametrize("field", ONE_VALUE)
def test_a_field_that_differs_between_lines_is_refused_by_name(field: str, tmp_path: Path) -> None:
    def edit(data: np.ndarray) -> None:
        values = data["head"][field]
        values[image_lines(data)[4]] = values[image_lines(data)[4]] + values.dtype.type(1)

    with pytest.raises(ScanError, match=f"{field} differs|holds .* numbers"):
        written(tmp_path / "a.mrd", edit)


@pytest.mark.parametrize("counter", [key for key, use in COUNTERS.items() if use == FREE])
def test_counters_and_fields_without_influence_change_nothing(
    counter: str, plain: RawScan, tmp_path: Path
) -> None:
    def edit(data: np.ndarray) -> None:
        lines = image_lines(data)
        data["head"]["idx"][counter][lines[::3]] = 4
        for field, use in FIELDS.items():
            if use == FREE:
                data["head"][field][lines[::2]] = 3

    np.testing.assert_array_equal(written(tmp_path / "a.mrd", edit).samples, plain.samples)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda d: d["head"]["version"].__setitem__(2, 2), "another version of ISMRMRD"),
        (lambda d: d["head"]["number_of_samples"].__setitem__(2, 9), "holds 96 numbers"),
        (lambda d: d["head"]["discard_pre"].__setitem__(2, 99), "discards all of its 32 samples"),
        (lambda d: d["head"]["center_sample"].__setitem__(2, 3), "zero frequency at 3, at step"),
        (lambda d: d["head"]["encoding_space_ref"].__setitem__(slice(None), 1), "no line of an"),
        (lambda d: d["head"]["trajectory_dimensions"].__setitem__(slice(1, None), 2), "called Car"),
        (lambda d: d["head"]["position"].__setitem__((2, 1), 7.0), "moves by"),
        (lambda d: d["head"]["slice_dir"].__setitem__(slice(None), (0, 1, 0)), "not three orthog"),
        (lambda d: d["head"]["idx"]["average"].__setitem__(2, 1), None),
        (lambda d: d["head"]["idx"]["kspace_encode_step_2"].__setitem__(2, 1), "is 3-D .2 steps"),
        (lambda d: d["head"]["idx"]["kspace_encode_step_1"].__setitem__(2, 0), "repeat the slice"),
        (lambda d: d["head"]["active_channels"].__setitem__(0, 1), "holds 12288 numbers"),
    ],
)
def test_lines_that_contradict_themselves_are_refused(
    edit: Edit, words: str | None, tmp_path: Path
) -> None:
    if words is None:  # one line counted as second average: the only one of its step
        assert written(tmp_path / "a.mrd", edit).sampled.all()
        return
    with pytest.raises(ScanError, match=words) as caught:
        written(tmp_path / "a.mrd", edit)
    assert "\n" not in str(caught.value)


def test_lines_outside_the_encoding_limits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="at step 11 does not fit the encoding of 32 x 16"):
        written(tmp_path / "a.mrd", last=10)
    with pytest.raises(ScanError, match=r"32 samples.*does not fit the encoding of 24 x 16"):
        written(tmp_path / "b.mrd", enc=24)


def averaged(
    data: np.ndarray, counts: Callable[[int], int], rng: np.random.Generator
) -> np.ndarray:
    """Return lines acquired several times, each with noise of its own."""
    again = [data[:1]]
    for i in image_lines(data):
        for average in range(counts(i)):
            line = data[i : i + 1].copy()
            line["head"]["idx"]["average"] = average
            extra = rng.standard_normal(len(line["data"][0])).astype(np.float32)
            line["data"][0] = line["data"][0] + STD * extra
            again.append(line)
    return np.concatenate(again)


def test_averages_have_the_noise_of_their_mean(plain: RawScan, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    raw = written(tmp_path / "a.mrd", lambda d: averaged(d, lambda _: 4, rng))
    assert raw.noise_std == pytest.approx(plain.noise_std / 2, rel=1e-6)
    # The four share the noise of the line they were made from; their own has been averaged.
    apart = raw.samples - plain.samples
    assert apart.std() == pytest.approx(2**0.5 * STD / 2, rel=0.1)
    assert "mean of 4 averages" in raw.source.note


def test_every_line_has_as_many_averages_as_the_rarest(plain: RawScan, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    raw = written(tmp_path / "a.mrd", lambda d: averaged(d, lambda i: 2 + i % 3, rng))
    assert raw.noise_std == pytest.approx(plain.noise_std / 2**0.5, rel=1e-6)
    assert "further averages of some lines left out" in raw.source.note


def test_slices_are_ordered_by_position_not_by_counter(plain: RawScan, tmp_path: Path) -> None:
    def edit(data: np.ndarray) -> None:
        counter = data["head"]["idx"]["slice"]
        counter[:] = np.where(counter == 0, 5, 2)

    raw = written(tmp_path / "a.mrd", edit)
    np.testing.assert_array_equal(raw.samples, plain.samples)
    np.testing.assert_array_equal(raw.scan.affine, plain.scan.affine)


@pytest.mark.parametrize("counter", VOLUME)
def test_one_of_several_volumes_is_chosen(counter: str, plain: RawScan, tmp_path: Path) -> None:
    def edit(data: np.ndarray) -> np.ndarray:
        second = data[image_lines(data)].copy()
        second["head"]["idx"][counter] = 3
        for i in range(len(second)):
            second["data"][i] = 2 * second["data"][i]
        return np.concatenate([data, second])

    path = tmp_path / "a.mrd"
    with pytest.raises(ScanError, match=f"2 images a slice .{counter}.*--volume 0 to 1"):
        written(path, edit)
    first, second = (read_input(path, volume=v) for v in (0, 1))
    assert isinstance(first, RawScan)
    assert isinstance(second, RawScan)
    np.testing.assert_array_equal(first.samples, plain.samples)
    np.testing.assert_allclose(second.samples, 2 * plain.samples, rtol=1e-6)
    assert first.scan.identity != second.scan.identity
    with pytest.raises(ScanError, match="has volumes 0 to 1, not 2"):
        read_input(path, volume=2)


def test_separate_calibration_lines_are_for_maps_and_embedded_ones_for_the_image(
    plain: RawScan, tmp_path: Path
) -> None:
    def edit(data: np.ndarray) -> np.ndarray:
        lines = image_lines(data)
        step = data["head"]["idx"]["kspace_encode_step_1"].astype(int)
        extra = lines[(step[lines] % 2 == 1) & (abs(step[lines] - SIZE // 2) < 4)]
        data["head"]["flags"][extra] |= 1 << 19
        kept = (step % 2 == 0) | (data["head"]["flags"] != 0)
        return data[kept]

    raw = written(tmp_path / "a.mrd", edit)
    assert raw.sampled.mean() == 0.5
    assert raw.calibration is not None
    there = (raw.calibration != 0).any((0, 1))
    assert there.mean() == 4 / SIZE
    np.testing.assert_allclose(raw.calibration[..., there], plain.samples[..., there], atol=1e-3)
    mode = "<parallelImaging><calibrationMode>embedded</calibrationMode></parallelImaging>"
    raw = written(tmp_path / "b.mrd", edit, trajectory=f"cartesian</trajectory>{mode}<trajectory>")
    assert raw.sampled.mean() == 0.5 + 4 / SIZE
    assert raw.calibration is None


def test_the_bandwidth_of_noise_scan_and_receiver_scales_the_noise(
    plain: RawScan, tmp_path: Path
) -> None:
    def edit(data: np.ndarray) -> None:
        data["head"]["sample_time_us"][0] = 20.0  # four times as long as those of the image

    assert written(tmp_path / "a.mrd", edit).noise_std == pytest.approx(2 * plain.noise_std)
    path = tmp_path / "b.mrd"
    written(path)
    with h5py.File(path, "r+") as file:
        text = file["dataset/xml"][0].decode()  # type: ignore[index]
        file["dataset/xml"][0] = text.replace(  # type: ignore[index]
            "<encoding>",
            "<acquisitionSystemInformation><relativeReceiverNoiseBandwidth>0.64"
            "</relativeReceiverNoiseBandwidth></acquisitionSystemInformation><encoding>",
        )
    again = read_input(path)
    assert isinstance(again, RawScan)
    assert again.noise_std == pytest.approx(plain.noise_std / 0.8)


@pytest.mark.parametrize(("cut", "kept"), [(8, 0.75), (9, 0.6875)])
def test_an_asymmetric_echo_is_measured_where_it_was_and_nowhere_else(
    cut: int, kept: float, plain: RawScan, tmp_path: Path
) -> None:
    def edit(data: np.ndarray) -> None:
        for i in image_lines(data):
            line = data["data"][i].view(np.complex64).reshape(COILS, -1)[:, cut:]
            data["data"][i] = np.ascontiguousarray(line).view(np.float32).ravel()
        data["head"]["number_of_samples"][1:] -= cut
        data["head"]["center_sample"][1:] -= cut

    raw = written(tmp_path / "a.mrd", edit)
    # Every second sample is one of the cropped field; those between see it behind a phase ramp.
    assert raw.samples.shape == (2, 2 * COILS, SIZE, SIZE)
    assert raw.sampled.mean() == pytest.approx(kept)
    assert raw.noise_std == pytest.approx(plain.noise_std, rel=1e-6)
    whole = to_image(plain.samples)
    column = np.arange(SIZE) - SIZE // 2
    ramp = np.exp(-2j * np.pi * column / (2 * SIZE))
    for coils, image in (
        (raw.samples[1, :COILS], whole[1]),
        (raw.samples[1, COILS:], whole[1] * ramp),
    ):
        wanted = to_kspace(image / 2**0.5)
        np.testing.assert_allclose(
            coils[:, raw.sampled], wanted[:, raw.sampled], atol=0.01 * np.abs(wanted).max()
        )


def test_a_whole_field_is_kept_where_an_asymmetric_echo_shows_an_object_in_the_rim(
    tmp_path: Path,
) -> None:
    images = np.zeros((SIZE, SIZE, 1))
    images[2:14, 4:12] = 10

    def edit(data: np.ndarray) -> None:
        data["head"]["discard_pre"][1:] = 8

    path = tmp_path / "a.mrd"
    write_ismrmrd(path, images, np.diag([3.0, 3, 3, 1]), np.ones(SIZE, bool), STD, COILS)
    with h5py.File(path, "r+") as file:
        text = file["dataset/xml"][0].decode()  # type: ignore[index]
        half = text.split("<reconSpace>")[1].replace("<x>16<", "<x>8<").replace("<x>48", "<x>24")
        file["dataset/xml"][0] = text.split("<reconSpace>")[0] + "<reconSpace>" + half  # type: ignore[index]
        data = np.asarray(file["dataset/data"][...])  # type: ignore[index]
        edit(data)
        file["dataset/data"][...] = data  # type: ignore[index]
    raw = read_input(path)
    assert isinstance(raw, RawScan)
    assert raw.samples.shape == (1, COILS, SIZE, 2 * SIZE)
    assert raw.scan.spacing == pytest.approx((3, 3, 3))


def test_slices_excited_together_are_refused(tmp_path: Path) -> None:
    bands = "<parallelImaging><multiband><multiband_factor>2</multiband_factor></multiband>"
    header = f"cartesian</trajectory>{bands}</parallelImaging><trajectory>"
    with pytest.raises(ScanError, match="2 slices were excited together"):
        written(tmp_path / "a.mrd", trajectory=header)


def test_a_data_set_of_any_name_is_read_and_several_are_refused(
    plain: RawScan, tmp_path: Path
) -> None:
    path = tmp_path / "a.mrd"
    written(path)
    with h5py.File(path, "r+") as file:
        file.move("dataset", "scan_7")
    raw = read_input(path)
    assert isinstance(raw, RawScan)
    np.testing.assert_array_equal(raw.samples, plain.samples)
    with h5py.File(path, "r+") as file:
        file.copy("scan_7", "scan_8")
    with pytest.raises(ScanError, match=r"2 ISMRMRD data sets .scan_7, scan_8"):
        read_input(path)
