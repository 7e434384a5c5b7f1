"""Python refuses exactly what the server refuses, in the same words."""

import json
from pathlib import Path

import pytest

from ml_runner import errors, validation

GOLDEN = Path(__file__).resolve().parents[3] / "test" / "golden" / "validation.json"
CASES = json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_same_answer_as_the_server(case: dict) -> None:
    if case["error"] is None:
        validation.validate(case["action"], case["arguments"])
        return
    with pytest.raises(errors.InvalidConfiguration) as raised:
        validation.validate(case["action"], case["arguments"])
    assert raised.value.to_answer()["error"] == case["error"]
