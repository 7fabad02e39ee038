"""The capacity model's tables: python -m matchmark.reference.capacity [--updates-per-s 50000 ...] [--measure]

Every input is a flag. --measure takes what can be measured in a few seconds from this machine. --write FILE puts the tables into
a page that has marks for them, --check FILE exits 1 when they are not those of the model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from matchmark.reference.capacity.inputs import Inputs, rows
from matchmark.reference.capacity.tables import TABLES, filled


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m matchmark.reference.capacity", description=(__doc__ or "").split("\n\n")[1]
    )
    parser.add_argument(
        "--measure", action="store_true", help="costs of this machine; goes before the flags of those inputs"
    )
    page = parser.add_mutually_exclusive_group()
    page.add_argument("--write", type=Path, metavar="FILE")
    page.add_argument("--check", type=Path, metavar="FILE")
    defaults = Inputs()
    for row in rows(defaults):
        flag = "--" + row.name.replace("_", "-")
        parser.add_argument(
            flag,
            type=type(getattr(defaults, row.name)),
            help=f"{row.how} ({row.value:g} {row.unit})".replace("%", "%%"),
        )
    options = vars(parser.parse_args(argv))
    given = {row.name: options[row.name] for row in rows(defaults) if options[row.name] is not None}
    if wrong := [
        name for name, value in given.items() if value < 0 or (value == 0 and not name.endswith(("_s", "_share")))
    ]:
        parser.error(f"{wrong[0]} is above zero")
    of = replace(defaults, **given)
    if options["measure"]:
        from matchmark.reference.capacity.measure import measured

        of = replace(of, **{name: type(getattr(of, name))(value) for name, value in measured(of).items()})
    path: Path | None = options["write"] or options["check"]
    if path is None:
        print("\n\n".join(make(of) for make in TABLES.values()))
        return 0
    before = path.read_text(encoding="utf-8")
    after = filled(before, of)
    if options["write"]:
        path.write_text(after, encoding="utf-8")
    elif after != before:
        print(f"{path} is old: python -m matchmark.reference.capacity --write {path}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
