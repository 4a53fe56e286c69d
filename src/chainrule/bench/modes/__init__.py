"""One training step in several libraries. These files import NumPy and their own library only.

They also run in an interpreter that does not have Chainrule installed.
"""
