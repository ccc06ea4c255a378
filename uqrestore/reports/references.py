"""Whom to cite for a method, as BibTeX and in words."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A paper: its key, what stands in a sentence, and its BibTeX entry."""

    key: str
    words: str
    bibtex: str


def _reference(key: str, words: str, author: str, title: str, venue: str, year: int) -> Reference:
    bibtex = (
        f"@misc{{{key},\n  author = {{{author}}},\n  title = {{{title}}},\n"
        f"  howpublished = {{{venue}}},\n  year = {{{year}}}\n}}"
    )
    return Reference(key, words, bibtex)


KARRAS = _reference(
    "karras2022",
    "Karras et al. 2022",
    "Karras, Tero and Aittala, Miika and Aila, Timo and Laine, Samuli",
    "Elucidating the Design Space of Diffusion-Based Generative Models",
    "NeurIPS, arXiv:2206.00364",
    2022,
)
NPPC = _reference(
    "nehme2023",
    "Nehme et al. 2023",
    "Nehme, Elias and Yair, Omer and Michaeli, Tomer",
    "Uncertainty Quantification via Neural Posterior Principal Components",
    "NeurIPS, arXiv:2309.15533",
    2023,
)
_DDNM = _reference(
    "wang2023",
    "Wang et al. 2023",
    "Wang, Yinhuai and Yu, Jiwen and Zhang, Jian",
    "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model",
    "ICLR, arXiv:2212.00490",
    2023,
)
_SSD = _reference(
    "liu2024",
    "Liu et al. 2024",
    "Liu, Gongye and Sun, Haoze and Li, Jiayi and Yin, Fei and Yang, Yujiu",
    "Accelerating Diffusion Models for Inverse Problems through Shortcut Sampling",
    "IJCAI, arXiv:2305.16965",
    2024,
)
METHODS: dict[str, Reference] = {
    "ssd": _SSD,
    "ssd_plus": _SSD,
    "moment_matching": _reference(
        "boys2024",
        "Boys et al. 2024",
        "Boys, Benjamin and others",
        "Tweedie Moment Projected Diffusions for Inverse Problems",
        "TMLR, arXiv:2310.06721",
        2024,
    ),
    "ddnm": _DDNM,
    "ddnm_plus": _DDNM,
    "ddrm": _reference(
        "kawar2022",
        "Kawar et al. 2022",
        "Kawar, Bahjat and Elad, Michael and Ermon, Stefano and Song, Jiaming",
        "Denoising Diffusion Restoration Models",
        "NeurIPS, arXiv:2201.11793",
        2022,
    ),
    "dps": _reference(
        "chung2023",
        "Chung et al. 2023",
        "Chung, Hyungjin and Kim, Jeongsol and McCann, Michael T. and Klasky, Marc L. "
        "and Ye, Jong Chul",
        "Diffusion Posterior Sampling for General Noisy Inverse Problems",
        "ICLR, arXiv:2209.14687",
        2023,
    ),
    "pigdm": _reference(
        "song2023",
        "Song et al. 2023",
        "Song, Jiaming and Vahdat, Arash and Mardani, Morteza and Kautz, Jan",
        "Pseudoinverse-Guided Diffusion Models for Inverse Problems",
        "ICLR",
        2023,
    ),
    "diffpir": _reference(
        "zhu2023",
        "Zhu et al. 2023",
        "Zhu, Yuanzhi and Zhang, Kai and Liang, Jingyun and Cao, Jiezhang and Wen, Bihan "
        "and Timofte, Radu and Van Gool, Luc",
        "Denoising Diffusion Models for Plug-and-Play Image Restoration",
        "CVPR Workshops, arXiv:2305.08995",
        2023,
    ),
    "daps": _reference(
        "zhang2024",
        "Zhang et al. 2024",
        "Zhang, Bingliang and Chu, Wenda and Berner, Julius and Meng, Chenlin "
        "and Anandkumar, Anima and Song, Yang",
        "Improving Diffusion Inverse Problem Solving with Decoupled Noise Annealing",
        "arXiv:2407.01521",
        2024,
    ),
}
