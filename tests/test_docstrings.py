"""What docstrings refer to by a whole name is there."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGES = {path.parent.name: path.parent for path in Path(__file__).parents[1].glob("*/gossamer*/py.typed")}
REFERENCE = re.compile(r":(?:attr|class|data|func|meth|mod):`(?:[^`<]*<)?~?(gossamer[\w.]*)>?`")


def is_there(target: str) -> bool:
    """Whether a name is a module, what a module defines or imports, or a member of a class of it."""
    package, *parts = target.split(".")
    place = PACKAGES[package]
    while parts and place.is_dir():
        place /= parts.pop(0)
    module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return module.exists() and (not parts or ".".join(parts) in defined(module))


@cache
def defined(module: Path) -> frozenset[str]:
    body = ast.parse(module.read_text(encoding="utf-8")).body
    found = {name for node in body for name in names(node)}
    classes = (node for node in body if isinstance(node, ast.ClassDef))
    return frozenset(found | {f"{one.name}.{name}" for one in classes for node in one.body for name in names(node)})


def names(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.ClassDef() | ast.FunctionDef():
            yield node.name
        case ast.Assign() | ast.AnnAssign():
            yield from (part.id for part in ast.walk(node) if isinstance(part, ast.Name))
        case ast.Import() | ast.ImportFrom():
            yield from (alias.asname or alias.name for alias in node.names)


def test_references() -> None:
    texts = {path: path.read_text(encoding="utf-8") for place in PACKAGES.values() for path in place.rglob("*.py")}
    found = {(path.name, target) for path, text in texts.items() for target in REFERENCE.findall(text)}
    assert len(found) > 200
    assert not {(name, target) for name, target in found if not is_there(target)}
