"""A declared feature map of small greyscale images that needs no weights: wavelet scattering."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Images = Float[np.ndarray, "image channel row column"]
Rows = Float[np.ndarray, "image feature"]


@dataclass(frozen=True, eq=False)
class Features:
    """Feature vectors, and the name of the map that made them.

    Attributes:
        values: One row per image.
        extractor: Name and hash; distances between different ones mean nothing.
    """

    values: Rows
    extractor: str

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class ScatteringFeatures:
    r"""Means of :math:`|x * \psi_1|` and :math:`||x * \psi_1| * \psi_2|`, decorrelated.

    Deterministic and free of weights, so it can be quoted by name. It describes textures at
    eight pixels and below, not anatomy.

    Attributes:
        mean: Mean raw features of the images it was fitted to.
        projection: To decorrelated features of unit variance.
        scales: Octaves of the wavelets.
        angles: Orientations of the wavelets.

    References:
        Bruna & Mallat, "Invariant Scattering Convolution Networks", IEEE Trans. Pattern Anal.
        Mach. Intell. 35:1872-1886, 2013, section 2. arXiv:1203.1513
    """

    mean: Float[np.ndarray, " raw"]
    projection: Float[np.ndarray, "raw feature"]
    scales: int = 3
    angles: int = 6

    @classmethod
    def fit(
        cls, images: Images, count: int = 32, *, scales: int = 3, angles: int = 6
    ) -> "ScatteringFeatures":
        """Fit the decorrelation to training images, which must not be the ones compared later.

        Raises:
            ValueError: If there are fewer images than features, or fewer raw features.
        """
        raw = scattering(images, scales=scales, angles=angles)
        if len(raw) <= count or raw.shape[1] < count:
            raise ValueError(
                f"{count} features need more than {count} training images and raw features; there "
                f"are {len(raw)} images and {raw.shape[1]} raw features."
            )
        mean, std = raw.mean(0), raw.std(0)
        scale = np.where(std > 0, std, 1)
        _, s, vt = np.linalg.svd((raw - mean) / scale, full_matrices=False)
        if s[count - 1] <= 1e-10 * s[0]:
            raise ValueError(
                f"the training images vary in fewer than {count} features; ask for fewer."
            )
        projection = vt[:count].T / s[:count] * np.sqrt(len(raw)) / scale[:, None]
        return cls(mean, projection, scales, angles)

    @property
    def name(self) -> str:
        """Name and hash of everything that decides the features."""
        digest = hashlib.sha256(self.mean.tobytes() + self.projection.tobytes()).hexdigest()
        return f"scattering-{self.scales}-{self.angles}-{self.projection.shape[1]} {digest[:16]}"

    def __call__(self, images: Images) -> Features:
        raw = scattering(images, scales=self.scales, angles=self.angles)
        return Features((raw - self.mean) @ self.projection, self.name)


def joint(first: Features, second: Features) -> Features:
    """Put two features of the same scenes side by side: of an image and of its measurement.

    Prior draws have the features of real images; only together with the measurement do they
    give themselves away.

    Raises:
        ValueError: If the numbers of scenes differ.
    """
    if len(first) != len(second):
        raise ValueError(f"pairs need as many of each, got {len(first)} and {len(second)}.")
    values = np.concatenate([first.values, second.values], axis=1)
    return Features(values, f"{first.extractor} with {second.extractor}")


def scattering(images: Images, *, scales: int, angles: int) -> Float[np.ndarray, "image raw"]:
    """Return raw scattering features: mean, std, and two layers, of each channel.

    Raises:
        ValueError: If the images are smaller than the widest wavelet.
    """
    if min(images.shape[-2:]) < 2 ** (scales + 1):
        raise ValueError(
            f"wavelets of {scales} octaves need images of at least {2 ** (scales + 1)} pixels a "
            f"side, got {images.shape[-2]} x {images.shape[-1]}."
        )
    bank = _morlet_bank((images.shape[-2], images.shape[-1]), scales, angles)
    rows = []
    for image in images.astype(np.float64):
        row = []
        for x in image:
            row += [x.mean(), x.std()]
            first = np.abs(np.fft.ifft2(np.fft.fft2(x) * bank))
            row += list(first.mean((-2, -1)).ravel())
            for scale in range(scales - 1):
                # Only wider wavelets see anything in the modulus of narrow ones.
                spectrum = np.fft.fft2(first[scale])[:, None, None]
                second = np.abs(np.fft.ifft2(spectrum * bank[scale + 1 :]))
                row += list(second.mean((-2, -1)).ravel())
        rows.append(row)
    return np.array(rows)


def _morlet_bank(
    shape: tuple[int, int], scales: int, angles: int
) -> Float[np.ndarray, "scale angle row column"]:
    """Spectra of Morlet wavelets: one octave apart, without mean."""
    rows, columns = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n) for n in shape), indexing="ij")
    bank = np.empty((scales, angles, *shape))
    for scale in range(scales):
        centre, width = 0.75 * np.pi / 2**scale, 1.25 / 2**scale
        for angle in range(angles):
            theta = np.pi * angle / angles
            along = np.cos(theta) * rows + np.sin(theta) * columns
            across = (np.cos(theta) * columns - np.sin(theta) * rows) * angles / 4
            wave = np.exp(-((along - centre) ** 2 + across**2) / (2 * width**2))
            hump = np.exp(-(along**2 + across**2) / (2 * width**2))
            bank[scale, angle] = wave - np.exp(-(centre**2) / (2 * width**2)) * hump
    return bank
