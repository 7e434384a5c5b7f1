"""The caller's own Python file (``modelScript``): imported, looked through, called.

It runs in the job's process alone, so nothing of it reaches the next job. It never sees the
arguments or the standard input of the program that runs it.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ml_runner import bounds, errors, failures
from ml_runner.nearest import nearest

if TYPE_CHECKING:
    from ml_runner.job import Job


def imports(job: Job) -> set[str] | None:
    """Top-level names of the packages that ``modelScript`` imports, wherever in it.

    None where there is no such file or it does not parse: ``Script`` says what is wrong with it.
    """
    path = job.resolve(job.config["modelScript"], key="config.modelScript")
    try:
        tree = ast.parse(bounds.read_bytes(path))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


class Script:
    """An imported script.

    Args:
        path: the file.
        shown: its path as the caller writes it.
        source: its content, where that was read already.

    Raises:
        ModelLoadingError: it is not there, does not parse, or raises while it is imported.
    """

    def __init__(self, path: Path, shown: str, *, source: bytes | None = None) -> None:
        self.path = path
        self.shown = shown
        self.source = self._read() if source is None else source
        self.module = self._import()

    def _read(self) -> bytes:
        if not self.path.is_file():
            near = nearest(self.path.name, _siblings(self.path))
            raise errors.ModelLoadingError(
                f"modelScript '{self.path}' is not a file",
                solution=f"Did you mean '{self.path.with_name(near)}'?"
                if near
                else "Name a Python file that is there.",
                metadata={"key": "config.modelScript", "sent": self.shown},
            )
        try:
            return bounds.read_bytes(self.path)
        except OSError as error:
            raise errors.ModelLoadingError(
                f"modelScript '{self.path}' cannot be read: {error.strerror}",
                solution="Make the file readable.",
                metadata={"key": "config.modelScript", "sent": self.shown},
            ) from error

    def _import(self) -> ModuleType:
        # Under its own name: what is pickled from it then loads beside the script in plain Python.
        name = self.path.stem
        if name in sys.modules or name in sys.stdlib_module_names:
            raise errors.ModelLoadingError(
                f"modelScript '{self.path}' has the name of a module that is in use: '{name}'",
                solution="Rename the script.",
                metadata={"key": "config.modelScript", "sent": self.shown},
            )
        # The loader is named, since only names that end in .py have one of themselves.
        loader = importlib.machinery.SourceFileLoader(name, str(self.path))
        spec = importlib.util.spec_from_file_location(name, self.path, loader=loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        sys.path.insert(0, str(self.path.parent))
        arguments, sys.argv = sys.argv, [str(self.path)]
        try:
            # What was read, and no other content that the file may have by now.
            code = compile(self.source, str(self.path), "exec", dont_inherit=True)
            exec(code, module.__dict__)
        except MemoryError:
            raise
        except SyntaxError as error:
            raise self._failed(error, f"line {error.lineno}: {error.msg}") from error
        except ImportError as error:
            raise self._failed(
                error,
                str(error),
                "Install what it imports into this Python, or put it beside the script.",
            ) from error
        except SystemExit as error:
            raise self._failed(
                error,
                f"it ended the program (exit code {error.code}) while it was imported",
                "Put what it does as a program under: if __name__ == '__main__'.",
            ) from error
        except Exception as error:
            raise self._failed(error, str(error)) from error
        finally:
            sys.argv = arguments
        return module

    def _failed(
        self, error: BaseException, what: str, solution: str = "Mend the script and call again."
    ) -> errors.ModelLoadingError:
        frames = [
            f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(self.path)
        ]
        line = frames[-1].lineno if frames else getattr(error, "lineno", None)
        text = "".join(traceback.format_exception_only(type(error), error)).strip()
        return errors.ModelLoadingError(
            f"modelScript '{self.shown}' cannot be imported: {type(error).__name__}: {what}"
            + (f" ({self.path.name}, line {line})" if frames else ""),
            solution=solution,
            metadata={"key": "config.modelScript", "file": str(self.path), "line": line},
            stderr=text,
        )

    def files(self) -> dict[str, bytes]:
        """The script and the modules beside it that it has imported: path from its folder → source.

        What a copy of the script needs to be imported elsewhere.
        """
        folder = self.path.parent
        # Compared as text: thousands of modules are looked at, and paths cost 0.2 ms each.
        below = f"{folder}{os.sep}"
        found = {self.path.name: self.source}
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or not file.endswith(".py") or not file.startswith(below):
                continue
            path = Path(file)
            if not _is_installed(path):
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
        return found

    def choose(
        self, name: str | None, *, is_candidate: Callable[[Any], bool], kind: str
    ) -> Callable[..., Any]:
        """The class or function that makes the model.

        Args:
            name: ``modelClass`` of the call; left out: ``build_model``, or the only candidate.
            is_candidate: whether a class or function that the script itself defines will do.
            kind: what is looked for, in words with their article (``an estimator class``).

        Raises:
            ModelLoadingError: it is not there, or there are several; lists those found.
        """
        own = {
            key: value
            for key, value in vars(self.module).items()
            if (inspect.isclass(value) or inspect.isfunction(value))
            and value.__module__ == self.module.__name__
            and not key.startswith("_")
        }
        if name is not None:
            named = getattr(self.module, name, None)
            if callable(named):
                return named
            raise self._not_found(name, list(own), kind)
        if "build_model" in own:
            return own["build_model"]
        candidates = [key for key, value in own.items() if is_candidate(value)]
        if len(candidates) == 1:
            return own[candidates[0]]
        raise self._not_found(None, candidates or list(own), kind)

    def _not_found(self, name: str | None, found: list[str], kind: str) -> errors.ModelLoadingError:
        near = nearest(name, found) if name else None
        if name and len(found) == 1:
            near = found[0]
        listed = ", ".join(found) or "nothing"
        if name:
            message = f"modelScript '{self.shown}' has no '{name}'; it defines {listed}"
        elif found:
            message = f"modelScript '{self.shown}' does not say which is {kind}: it has {listed}"
        else:
            message = f"modelScript '{self.shown}' defines no {kind.partition(' ')[2]}"
        return errors.ModelLoadingError(
            message,
            solution=f"Set modelClass to '{near}'."
            if near
            else "Set modelClass to the class or function to use.",
            metadata={
                "key": "config.modelClass",
                "sent": name,
                "found": found,
                **({"nearest": near} if near else {}),
            },
        )

    def call(
        self,
        maker: Callable[..., Any],
        arguments: Mapping[str, Any],
        *,
        fill: Mapping[str, Any],
        config: Mapping[str, Any],
    ) -> Any:
        """Calls what makes the model.

        Args:
            maker: from ``choose``.
            arguments: ``modelArgs`` of the call.
            fill: values for parameters of these names (``num_classes``, …) that are not given.
            config: given to a parameter called ``config``.

        Raises:
            InvalidConfiguration: arguments that it does not have, or lacks; names them.
            ModelLoadingError: it raised, or ended the program.
        """
        given = dict(arguments)
        parameters: dict[str, inspect.Parameter] = {}
        with contextlib.suppress(TypeError, ValueError):
            parameters = dict(inspect.signature(maker).parameters)
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        for key, value in {**fill, "config": dict(config)}.items():
            if key in parameters and key not in given:
                given[key] = value
        name = getattr(maker, "__name__", str(maker))
        unknown = [key for key in given if key not in parameters and not takes_any]
        missing = [
            key
            for key, p in parameters.items()
            if p.default is p.empty
            and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
            and key not in given
        ]
        if parameters and (unknown or missing):
            words = [f"has no argument '{key}'" for key in unknown]
            words += [f"needs the argument '{key}'" for key in missing]
            raise errors.InvalidConfiguration(
                f"{name} {' and '.join(words)}",
                solution=f"modelArgs of {name} are: {', '.join(parameters) or 'none'}.",
                metadata={
                    "key": "config.modelArgs",
                    "sent": dict(arguments),
                    "allowed": list(parameters),
                },
            )
        try:
            return maker(**given)
        except (MemoryError, errors.ExecutorError):
            raise
        except (Exception, SystemExit) as error:
            raise failures.explain(error) or self._raised(error, name) from error

    def _raised(self, error: BaseException, name: str) -> errors.ModelLoadingError:
        """What a class or function of the script raised when it was called."""
        if isinstance(error, SystemExit):
            what = f"it ended the program (exit code {error.code})"
        elif isinstance(error, RecursionError):
            what = "it calls itself without an end (RecursionError)"
        else:
            what = f"{type(error).__name__}: {error}"
        frame = failures.users_frame(error)
        where = f" ({Path(frame['file']).name}, line {frame['line']})" if frame else ""
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        return errors.ModelLoadingError(
            f"{name}(…) of modelScript '{self.shown}' fails: {what}{where}",
            solution="Mend the script, or send other modelArgs.",
            metadata={
                "key": "config.modelScript",
                "file": str(self.path),
                "exception": type(error).__name__,
                **({"frame": frame, "line": frame["line"]} if frame else {}),
            },
            stderr="".join(lines)[-2000:],
        )


def of_call(config: Mapping[str, Any], resolve: Callable[..., Path]) -> Script | None:
    """The ``modelScript`` of a call, imported; None where it names none.

    Args:
        config: the call's config.
        resolve: ``Job.resolve``.
    """
    sent = config.get("modelScript")
    return None if sent is None else Script(resolve(sent, key="config.modelScript"), sent)


def _is_installed(path: Path) -> bool:
    """Whether a module comes with Python, an environment or this program, wherever that lies."""
    ours = Path(__file__).resolve().parent
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or any(
        Path(folder) in path.parents for folder in (sysconfig.get_path("stdlib"), ours)
    )


def _siblings(path: Path) -> list[str]:
    try:
        return [other.name for other in path.parent.iterdir() if other.suffix == ".py"]
    except OSError:
        return []
