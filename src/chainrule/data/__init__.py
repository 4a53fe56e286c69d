"""Data: data sets that come with the package, tables of your own, and their preprocessing."""

from .digits import load_digits as load_digits
from .preprocess import Preprocessor as Preprocessor
from .tables import Table as Table
from .tables import read_table as read_table
from .tables import table_of as table_of
