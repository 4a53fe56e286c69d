"""What `fit` is given, as arrays with rows: checked, divided, in batches."""
