"""The primitives: `table` has a row for each, `shapes` their rules, `meanings` their values."""
