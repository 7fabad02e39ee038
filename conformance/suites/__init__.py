"""The suites: one file a diagram of the specification, its own worked examples first, then one property over many orders."""
