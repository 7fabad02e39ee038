"""Wire mutants of the ledger: bugs of its process (broken_ledger.py)."""

from __future__ import annotations

from matchmark.conformance.selftest.wire_declare import BrokenWire, Start, wire_mutant


class Inside(BrokenWire):
    """The exchange is started with a bug of broken_ledger.py in it."""

    bug = ""

    def prepare(self, start: Start) -> None:
        at = start.words.index("matchmark.conformance.cli")
        start.words[at : at + 1] = ["matchmark.conformance.selftest.broken_ledger", self.bug]


def inside(name: str, bug: str, *, breaks: tuple[str, ...], story: str) -> None:
    wire_mutant(name, breaks=breaks, story=story)(type(f"Bug_{bug}", (Inside,), {"bug": bug}))


for name, bug, breaks, story in (
    ("ledger-applies-executions-twice", "applies_executions_twice", ("D02.10", "D07.10", "D09.X20"),
     "Executions were settled twice."),
    ("ledger-misses-the-release-on-cancel", "misses_the_release_on_cancel", ("D04.10", "D09.X24"), "A cancel released nothing."),
    ("ledger-releases-the-whole-order", "releases_by_the_order", ("D04.10",), "A cancel released what was ordered."),
    ("ledger-reserves-nothing", "reserves_nothing", ("D01.10", "D04.10"), "The ledger was told of trades alone."),
    ("ledger-reserves-cash-only", "reserves_cash_only", ("D01.10", "D04.10"), "Sells reserved no shares."),
    ("ledger-keeps-the-price-improvement", "price_improvement_not_released", ("D09.X24",),
     "A buy kept the reserve that a better price had left."),
    ("ledger-replace-reserves-anew", "replace_reserves_anew", ("D09.X24",), "A replace did not give back what was held."),
    ("ledger-wrong-side", "wrong_side", ("D02.10", "D07.10", "D09.X20"), "Shares went from the buyer to the seller."),
    ("ledger-first-price-for-all", "first_price_for_all", ("D07.10", "D09.X20"), "A walk was settled at its first price."),
    ("ledger-seller-pays-a-cent", "seller_pays_a_cent", ("D09.X21", "D02.10"), "A cent of each trade went nowhere."),
    ("ledger-buyer-then-seller", "buyer_then_seller", ("D02.N2", "D09.X21"), "A trade took two transactions."),
    ("ledger-offset-before-the-lines", "offset_before_the_lines", ("D09.X22",), "The offset was committed before the entries."),
    ("ledger-offset-forgotten", "offset_forgotten", ("D09.X22",), "A restart entered everything again."),
    ("ledger-every-tenth-batch-lost", "every_tenth_batch_lost", ("D09.X20", "D09.X22"), "A batch in ten was not entered."),
    ("ledger-overdrafts-allowed", "overdrafts_allowed", ("D09.X23",), "Overdrafts were the gateway's business."),
):  # fmt: skip
    inside(name, bug, breaks=breaks, story=story)
