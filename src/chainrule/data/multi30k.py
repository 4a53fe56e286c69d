"""Multi30k: captions of images, sentence by sentence in three languages."""

from __future__ import annotations

from pathlib import Path

from ..errors import OptionError
from .known_files import KnownSet, files_of

PARTS = ("train", "val", "test_2016_flickr")
LANGUAGES = ("en", "de", "fr")
_FILES = """
train.en.gz 1801238 460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6
train.de.gz 2110398 2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72
train.fr.gz 2111303 5925a3c18f1587b6b54b87743106e6e8ab93618edb6f65d19eac0621f853a10d
val.en.gz 63297 1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227
val.de.gz 75981 660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660
val.fr.gz 73924 5304e444d842e962b2dda4d816b70b22a1765b15401642b7ca37a67477e708dc
test_2016_flickr.en.gz 62076 399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182
test_2016_flickr.de.gz 70649 4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16
test_2016_flickr.fr.gz 72261 cb3160d69b002bb638e66cc7612fcd56cb0af82eadc9c142dedc438afb885ef6
"""
_SET = KnownSet(
    "Multi30k",
    ("multi30k",),
    files_of(_FILES, inner=True),
    "https://github.com/multi30k/dataset, data/task1/raw",
    "none stated; released for research (Elliott et al. 2016, 2017); captions from Flickr30K",
    ("https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/",),
)


def load_multi30k(
    part: str = "train",
    languages: tuple[str, str] = ("en", "de"),
    folder: str | Path | None = None,
    *,
    download: bool = False,
) -> tuple[list[str], list[str]]:
    """Sentences and their translations (Elliott, Frank, Sima'an & Specia, 2016).

    29,000 of ``part`` "train", 1,014 of "val", 1,000 of "test_2016_flickr", in two of ``languages``
    en, de, fr.

    `load_mnist` says where the files ``train.en.gz`` and so on are looked for. Raises DataError
    that says what to fetch where one is missing or damaged.

    >>> from chainrule.data import load_multi30k
    >>> english, german = load_multi30k("val")  # doctest: +SKIP
    >>> english[0]  # doctest: +SKIP
    'A group of men are loading cotton onto a truck'
    """
    if part not in PARTS:
        raise OptionError(f"load_multi30k: part is one of {', '.join(PARTS)}, got {part!r}")
    if len(languages) != 2 or any(language not in LANGUAGES for language in languages):
        raise OptionError(
            f"load_multi30k: languages are two of {', '.join(LANGUAGES)}, got {languages!r}"
        )
    files = {file.name: file for file in _SET.files}
    first, second = (
        _SET.read(files[f"{part}.{language}.gz"], folder, download).decode().splitlines()
        for language in languages
    )
    return first, second
