"""Data: data sets that come with the package, tables of your own, and their preprocessing."""

from .digits import load_digits as load_digits
from .preprocess import Preprocessor as Preprocessor
from .reading import open_table as open_table
from .reading import read_table as read_table
from .reading import source_of as source_of
from .reading import table_of as table_of
from .source import Source as Source
from .tables import Table as Table
from .understood import Reading as Reading
