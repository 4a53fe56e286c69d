"""Functions along axes: sums and what is made of them."""
