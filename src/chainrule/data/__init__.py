"""Data: data sets and files of many kinds, tables and their preprocessing, splits, batches."""

import typing as _typing

from ..habits import answers_of as _answers_of
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
from .load_sequences import load_sequences as load_sequences
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

if not _typing.TYPE_CHECKING:
    __getattr__ = _answers_of("chainrule.data")
