"""Data: data sets and files of many kinds, tables and their preprocessing, splits, batches."""

import typing as _typing
from importlib import import_module as _import_module

from ..habits import answers_of as _answers_of

if _typing.TYPE_CHECKING:
    from .arrays_npz import read_npz as read_npz
    from .augment import RandomBrightness as RandomBrightness
    from .augment import RandomContrast as RandomContrast
    from .augment import RandomCrop as RandomCrop
    from .augment import RandomFlip as RandomFlip
    from .augment import RandomMixup as RandomMixup
    from .augment import RandomNoise as RandomNoise
    from .augment import RandomRotation as RandomRotation
    from .augment import RandomShift as RandomShift
    from .batches import Batches as Batches
    from .batches import TextBatches as TextBatches
    from .categorical import to_categorical as to_categorical
    from .cifar import CIFAR10_CLASSES as CIFAR10_CLASSES
    from .cifar import load_cifar10 as load_cifar10
    from .cifar import read_cifar as read_cifar
    from .corpus import TextCorpus as TextCorpus
    from .corpus import Windows as Windows
    from .corpus import load_names as load_names
    from .corpus import load_text as load_text
    from .corpus import load_tiny_shakespeare as load_tiny_shakespeare
    from .digits import load_digits as load_digits
    from .generators import REBER_SYMBOLS as REBER_SYMBOLS
    from .generators import make_copy as make_copy
    from .generators import make_parity as make_parity
    from .generators import make_reber as make_reber
    from .generators import make_spirals as make_spirals
    from .generators import make_sums as make_sums
    from .generators import reber_next as reber_next
    from .idx import read_idx as read_idx
    from .image_folder import ImageFolder as ImageFolder
    from .image_folder import load_image_folder as load_image_folder
    from .images import load_image_files as load_image_files
    from .images import load_images as load_images
    from .known_sequences import load_series as load_series
    from .known_sequences import load_ucr as load_ucr
    from .long_lags import ORDER_SYMBOLS as ORDER_SYMBOLS
    from .long_lags import make_adding as make_adding
    from .long_lags import make_long_lag as make_long_lag
    from .long_lags import make_temporal_order as make_temporal_order
    from .long_lags import make_two_sequences as make_two_sequences
    from .mnist import load_fashion_mnist as load_fashion_mnist
    from .mnist import load_mnist as load_mnist
    from .multi30k import load_multi30k as load_multi30k
    from .preprocess import Preprocessor as Preprocessor
    from .reading import open_table as open_table
    from .reading import read_table as read_table
    from .reading import source_of as source_of
    from .reading import table_of as table_of
    from .sequence_files import load_sequences as load_sequences
    from .sequence_tables import read_sequences as read_sequences
    from .sequence_tables import sequences_of_table as sequences_of_table
    from .sequences import Sequences as Sequences
    from .sequences import pad_sequences as pad_sequences
    from .sequences import read_ts as read_ts
    from .source import Source as Source
    from .split import KFold as KFold
    from .split import TimeSeriesSplit as TimeSeriesSplit
    from .split import train_test_split as train_test_split
    from .tables import Table as Table
else:
    # Each file is loaded when a name of it is asked for: training needs nothing of tables.
    _NAMES = {
        "arrays_npz": "read_npz",
        "augment": (
            "RandomBrightness RandomContrast RandomCrop RandomFlip RandomMixup RandomNoise "
            "RandomRotation RandomShift"
        ),
        "batches": "Batches TextBatches",
        "categorical": "to_categorical",
        "cifar": "CIFAR10_CLASSES load_cifar10 read_cifar",
        "corpus": "TextCorpus Windows load_names load_text load_tiny_shakespeare",
        "digits": "load_digits",
        "generators": (
            "REBER_SYMBOLS make_copy make_parity make_reber make_spirals make_sums reber_next"
        ),
        "idx": "read_idx",
        "image_folder": "ImageFolder load_image_folder",
        "images": "load_image_files load_images",
        "known_sequences": "load_series load_ucr",
        "sequence_files": "load_sequences",
        "long_lags": (
            "ORDER_SYMBOLS make_adding make_long_lag make_temporal_order make_two_sequences"
        ),
        "mnist": "load_fashion_mnist load_mnist",
        "multi30k": "load_multi30k",
        "preprocess": "Preprocessor",
        "reading": "open_table read_table source_of table_of",
        "sequence_tables": "read_sequences sequences_of_table",
        "sequences": "Sequences pad_sequences read_ts",
        "source": "Source",
        "split": "KFold TimeSeriesSplit train_test_split",
        "tables": "Table",
    }
    _FILE_OF = {name: file for file, names in _NAMES.items() for name in names.split()}
    __all__ = list(_FILE_OF)
    _missing = _answers_of("chainrule.data")

    def __getattr__(name: str) -> _typing.Any:
        if name not in _FILE_OF:
            return _missing(name)
        found = globals()[name] = getattr(_import_module(f".{_FILE_OF[name]}", __name__), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
