"""The counting calculator: what a layer makes and what it costs, each sum written out in the reader's own numbers."""

from __future__ import annotations

from lenet_utils.original.layers import C3_TABLE
from lenet_utils.widgets.page import Widget


class CountingCalculator(Widget):
    """A reader sets input and layer; shape, parameters, connections and multiply-adds follow, with their sums.

    It counts as :func:`lenet_utils.counting.layer_table` does, says why an impossible layer is impossible, and stacks
    layers to a network.  All of it is computed in the page.

    Examples
    --------
    >>> CountingCalculator().spec
    {'table': {'inputs': 6, 'maps': 16, 'links': 60}}
    """

    name = "counting-calculator"
    programs = ("counting-calculator",)

    def __init__(self) -> None:
        inputs, maps = C3_TABLE.shape
        super().__init__({"table": {"inputs": inputs, "maps": maps, "links": int(C3_TABLE.sum())}})
