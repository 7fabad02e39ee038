"""The reference exchange: the model book that is the oracle, and the exchange built round the native core."""
