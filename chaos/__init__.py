"""Fault injection against a target that is marked expendable: faults/ has them, one file each.

Schedules, scenarios and a runner are not here yet.
"""
