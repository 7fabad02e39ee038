"""What machines a market takes: a model of the fan-out of market data, and a simulation that it is checked against."""
