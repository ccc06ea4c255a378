"""Scalings between a network and a denoiser: EDM, flow matching, and a bridge."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor

Preconditioned: TypeAlias = Literal["edm", "flow", "bridge"]


@dataclass(frozen=True)
class Preconditioning:
    r"""How the output of a network becomes a clean image, ``D = c_skip x + c_out F(c_in x)``.

    ``edm`` keeps inputs and targets of the network at unit variance (Karras et al., NeurIPS 2022,
    Table 1).

    ``flow`` is flow matching with straight paths (Lipman et al., ICLR 2023. arXiv:2210.02747; Liu
    et al., ICLR 2023. arXiv:2209.03003): the network sees :math:`u = (1 - t) x_0 + t n` and puts
    out the velocity :math:`n - x_0`. With :math:`x = x_0 + \sigma n` and
    :math:`\sigma = t / (1 - t)`, :math:`u = x / (1 + \sigma)`, and the clean image is
    :math:`u - t F`. A time of logit-normal distribution is a noise level of log-normal one.

    ``bridge`` is a Brownian bridge of scale :math:`s` = ``sigma_data`` from the back projection
    :math:`m = A^+ y` at :math:`t = 1` to the image at :math:`t = 0` (Liu et al., I2SB, ICML 2023.
    arXiv:2302.05872). The network sees :math:`u = (1 - t) x_0 + t m + s \sqrt{t (1 - t)} n` and
    puts out :math:`(x_0 - u) / (s \sqrt t)`. It also sees the measurement, so that :math:`m` is
    known, and :math:`u` says of :math:`x_0` what :math:`x = x_0 + \sigma n` does at
    :math:`\sigma = s \sqrt{t / (1 - t)}`: :math:`u = m + c_{skip} (x - m)`, with the ``c_skip``
    and ``c_out`` of ``edm``. So posterior and samplers are the same, and what differs is what the
    network is asked for: the image relative to the back projection.

    Args:
        sigma_data: Standard deviation of the images about their mean level, in network units;
            ``flow`` has none.
        kind: One of the three.
    """

    sigma_data: float = 0.5
    kind: Preconditioned = "edm"

    def scalings(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return ``c_skip, c_out, c_in, c_noise`` for noise levels of any shape.

        Those of ``bridge`` are for images relative to the back projection.
        """
        c_noise = sigma.log() / 4
        if self.kind == "flow":
            c_skip = 1 / (1 + sigma)
            return c_skip, -sigma * c_skip, c_skip, c_noise
        total = sigma**2 + self.sigma_data**2
        c_skip = self.sigma_data**2 / total
        c_out = sigma * self.sigma_data * total.rsqrt()
        return c_skip, c_out, c_skip if self.kind == "bridge" else total.rsqrt(), c_noise

    def weight(self, sigma: Tensor) -> Tensor:
        """Return the weight of the squared error of a clean image, that of the output being 1."""
        if self.kind == "flow":
            return ((1 + sigma) / sigma) ** 2
        return (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2
