from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ml_runner import errors
from ml_runner.data import samples


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    """Random pixels (height, width[, channels]) of 8 bits, the same for the same seed."""

    def noise(*shape: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    return noise


@pytest.fixture
def image_folder(tmp_path: Path, noise: Callable[..., np.ndarray]) -> Path:
    """Two classes of two images of 10 x 12 pixels."""
    root = tmp_path / "images"
    for place, name in enumerate(("cat/b.png", "cat/a.png", "dog/c.png", "dog/d.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(10, 12, 3, seed=place)).save(root / name)
    return root


class Reading:
    """Reads as an adapter does, and keeps what it was told."""

    def __init__(self) -> None:
        self.warned: list[str] = []
        self.defaults: dict[str, Any] = {}

    def parts(
        self,
        path: Path,
        *,
        roots: Any = None,
        first: bool = True,
        tokenizer: Any = None,
        **config: Any,
    ) -> Any:
        target = config.get("targetData")
        return samples.read(
            path,
            config,
            channels_first=first,
            roots=roots,
            warn=self.warned.append,
            default=self.defaults.__setitem__,
            target_path=None if target is None else Path(target),
            tokenizer=tokenizer,
        )

    def train(self, path: Path, **options: Any) -> Any:
        return self.parts(path, **options).train

    def like(
        self,
        path: Path,
        spec: Any,
        *,
        targets: bool = True,
        roots: Any = None,
        tokenizer: Any = None,
        **config: Any,
    ) -> Any:
        target = config.get("targetData")
        return samples.read_like(
            path,
            spec,
            config,
            with_targets=targets,
            roots=roots,
            warn=self.warned.append,
            target_path=None if target is None else Path(target),
            tokenizer=tokenizer,
        )

    def refused(self, path: Path, **options: Any) -> errors.ExecutorError:
        with pytest.raises(errors.ExecutorError) as caught:
            self.parts(path, **options)
        assert len(caught.value.solution) > 10
        assert len(caught.value.message) < 2000
        return caught.value


@pytest.fixture
def reading() -> Reading:
    return Reading()
