"""The suites: a diagram of the specification a file, its worked examples first, then one property over many orders."""
