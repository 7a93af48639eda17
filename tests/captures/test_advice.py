"""The advice of docs/captures.md is good: each row's fault is made, and what the row says mends it.

A new row of "Error messages" needs a case in one of the files tests/support/advice_on_*.py; a new
row of "What is read, and what is refused" needs one in test_kinds_of_captures.py.
"""

import pytest

from tests.support import advice_on_cameras, advice_on_depth, advice_on_files, advice_on_formats
from tests.support.advice import CASES, has_message, messages_in, table_of, try_out

assert advice_on_cameras, advice_on_files  # which fill `CASES`
assert advice_on_depth, advice_on_formats

pytestmark = pytest.mark.slow

ROWS = {messages_in(row[0])[0]: row for row in table_of("Error messages")}


def test_each_row_of_the_page_has_a_case():
    assert sorted(CASES) == sorted(ROWS)


@pytest.mark.parametrize("row", CASES)
def test_the_advice_of_each_row_mends_its_fault(tmp_path, monkeypatch, row):
    first = ROWS[row][0]
    messages = messages_in(first)
    outcomes = [try_out(attempt) for attempt in CASES[row](tmp_path, monkeypatch)]
    *faults, mended = outcomes
    for fault in faults:
        assert any(has_message(message, fault) for message in messages), fault
        assert fault.is_read == ("(a note)" in first), fault
    for message in messages:
        assert any(has_message(message, fault) for fault in faults), (message, faults)
    assert mended.is_read, mended
    assert not any(has_message(message, mended) for message in messages), mended
