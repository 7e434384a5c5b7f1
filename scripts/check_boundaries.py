"""Checks who may import what in runners/ml_runner. The standard library alone.

1. The core (all but data, training, actions, frameworks) imports the standard library and itself.
2. A framework's library is imported, and named in code, in its adapter alone.
3. Actions know adapters by their common protocol: they import none of them by name.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "runners" / "ml_runner"
BEYOND_CORE = {"data", "training", "actions", "frameworks"}
OF_THE_CORE = sys.stdlib_module_names | {"ml_runner", "__future__"}

# The adapter (a module or folder of frameworks/) → words that only it may use.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "sklearn": ("sklearn", "scikit-learn"),
    "xgboost": ("xgboost",),
    "lightgbm": ("lightgbm",),
    "pytorch": ("pytorch", "torch", "torchvision"),
    "keras": ("keras", "tensorflow"),
}
# An adapter may read what another brings where the first is built upon the second.
BUILT_UPON: dict[str, tuple[str, ...]] = {"xgboost": ("sklearn",), "lightgbm": ("sklearn",)}

WORD = re.compile(
    r"(?<![\w-])(" + "|".join(w for words in LIBRARIES.values() for w in words) + r")(?![\w-])",
    re.IGNORECASE,
)
OWNER = {word: adapter for adapter, words in LIBRARIES.items() for word in words}


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields line and full name of every module that is imported, within functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def words(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields line and name of every library named in an import, an identifier or a string.

    Docstrings and comments may name what they like.
    """
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
        and isinstance(node.body[0].value, ast.Constant)
    }
    for node in ast.walk(tree):
        texts: list[str] = []
        if isinstance(node, ast.Import):
            texts = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            texts = [node.module or ""] + [alias.name for alias in node.names]
        elif isinstance(node, ast.Name):
            texts = [node.id]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts = [] if id(node) in docstrings else [node.value]
        for text in texts:
            for found in WORD.findall(text):
                yield getattr(node, "lineno", 1), found.lower()


def problems_of(path: Path) -> Iterator[str]:
    """Yields what is wrong with one file."""
    relative = path.relative_to(PACKAGE)
    tree = ast.parse(path.read_text("utf-8"))
    area = relative.parts[0] if len(relative.parts) > 1 else ""
    where = f"runners/ml_runner/{relative.as_posix()}"
    adapter = relative.parts[1].removesuffix(".py") if area == "frameworks" else None
    family = next((a for a in LIBRARIES if adapter and re.match(rf"{a}(_|$)", adapter)), None)

    for line, name in imports(tree):
        top = name.split(".")[0]
        if area not in BEYOND_CORE and top not in OF_THE_CORE:
            yield f"{where}:{line} imports {top}: the core imports the standard library alone"
        parts = name.split(".")
        adapters = parts[2:3] if parts[:2] == ["ml_runner", "frameworks"] else []
        if area == "actions" and any(
            re.match(rf"{a}(_|$)", x) for a in LIBRARIES for x in adapters
        ):
            yield f"{where}:{line} imports the adapter {parts[2]}: an action names no framework"
    for line, word in words(tree):
        owner = OWNER[word]
        if owner != family and owner not in BUILT_UPON.get(family or "", ()):
            yield f"{where}:{line} names {word}: only runners/ml_runner/frameworks/{owner} does"


def main() -> int:
    """Prints every problem; returns the exit code."""
    problems = sorted({p for path in PACKAGE.rglob("*.py") for p in problems_of(path)})
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} problems" if problems else "Python boundaries hold")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
