"""Fault injection against a target that is marked expendable: faults, schedules, scenarios, runner.

Nothing is here yet; what an engine alone can show needs no fault.
"""
