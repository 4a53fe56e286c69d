"""Data: data sets that come with the package."""

from .digits import load_digits as load_digits
