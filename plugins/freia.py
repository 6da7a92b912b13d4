"""What the flows take from FrEIA, imported without its warnings.

Some of its docstrings hold backslashes that are no escapes. Python 3.12 and newer warn of them on the terminal when the
modules are compiled (SyntaxWarning, before that DeprecationWarning).
"""

import warnings

with warnings.catch_warnings():
    for _category in (SyntaxWarning, DeprecationWarning):
        warnings.filterwarnings("ignore", category=_category, module=r".*\bFrEIA\b")
    from FrEIA.framework import GraphINN, InputNode, Node, OutputNode, SequenceINN
    from FrEIA.modules import AllInOneBlock, InvertibleModule, PermuteRandom

__all__ = [
    "AllInOneBlock",
    "GraphINN",
    "InputNode",
    "InvertibleModule",
    "Node",
    "OutputNode",
    "PermuteRandom",
    "SequenceINN",
]
