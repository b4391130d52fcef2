"""Looks whether the guide's examples are what the files say. Before an indented block that is of a file, the guide has a line
`<!-- from FILE -->`: the block's lines stand in that file, one after the other, as they are.
"""

import re
import sys
from pathlib import Path


def blocks(text):
    """Each indented block: the file that it is from, or None, and its text."""
    name, block = None, []
    for line in [*text.splitlines(), "end"]:
        if line.startswith("    ") or (block and not line):
            block.append(line[4:])
            continue
        if block:
            yield name, "\n".join(block).strip("\n")
            name, block = None, []
        if match := re.fullmatch(r"<!-- from (\S+) -->", line):
            name = match[1]
        elif line:
            name = None


def is_nix(block):
    """Whether it has what a line of Nix ends with, and no command does."""
    return any(re.search(r"(= [\[{]|;)$", line) for line in block.splitlines())


def main(guide):
    found = list(blocks(Path(guide).read_text()))
    named = [(name, block) for name, block in found if name]
    wrong = [f"the block from {name} is not in it:\n{block}" for name, block in named if block not in Path(name).read_text()]
    wrong += [f"this looks like Nix and names no file:\n{block}" for name, block in found if not name and is_nix(block)]
    if not named:
        wrong.append("no block names a file")
    for what in wrong:
        print(f"{guide}: {what}", file=sys.stderr)
    sys.exit(bool(wrong))


main(sys.argv[1])
