"""Real services for the exchange to work with, installed and run on this machine: `matchmark services`."""
