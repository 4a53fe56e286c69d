"""Data: data sets and files of many kinds, tables and their preprocessing, splits, batches."""

from .arrays_npz import read_npz as read_npz
from .cifar import CIFAR10_CLASSES as CIFAR10_CLASSES
from .cifar import load_cifar10 as load_cifar10
from .cifar import read_cifar as read_cifar
from .corpus import TextCorpus as TextCorpus
from .corpus import Windows as Windows
from .corpus import load_names as load_names
from .corpus import load_text as load_text
from .corpus import load_tiny_shakespeare as load_tiny_shakespeare
from .digits import load_digits as load_digits
from .idx import read_idx as read_idx
from .image_folder import ImageFolder as ImageFolder
from .image_folder import load_image_folder as load_image_folder
from .mnist import load_fashion_mnist as load_fashion_mnist
from .mnist import load_mnist as load_mnist
from .preprocess import Preprocessor as Preprocessor
from .reading import open_table as open_table
from .reading import read_table as read_table
from .reading import source_of as source_of
from .reading import table_of as table_of
from .sequences import Sequences as Sequences
from .sequences import pad_sequences as pad_sequences
from .sequences import read_ts as read_ts
from .source import Source as Source
from .tables import Table as Table
