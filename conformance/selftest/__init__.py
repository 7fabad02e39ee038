"""The kit tested by itself: engines broken in one way that the suites must fail, sound ones that they must not."""
