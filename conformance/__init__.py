"""The certification kit: clause register, targets, checks, suites, runner."""
