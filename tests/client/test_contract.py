"""The client stands alone, so it has its own copy of the contract."""

from __future__ import annotations

from pathlib import Path

import cascade_client.contract
import cascade_core.contract


def test_the_clients_contract_is_that_of_the_server():
    copy, original = (Path(module.__file__).read_text() for module in (cascade_client.contract, cascade_core.contract))
    assert copy == original
