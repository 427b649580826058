"""The ledger of test_stale.py finds every kind of wrong answer, and nothing wrong with a right one."""

import time

import pytest

from ledger import GONE, Ledger, Page, State, Wanted

OLD, NEW = State("a old", "red", False), State("a new", "red", False)
OTHER, DELETED, STRANGER = State("b", "blue", True), State("c", "red", False), State("d", "red", False)
IDS = {"a": 4, "b": 3, "c": 2, "d": 1}


@pytest.fixture
def ledger():
    """`a` was renamed, `b` is as it was made, `c` was deleted."""
    ledger = Ledger("agent sessions")
    for key, state in [("a", OLD), ("b", OTHER), ("c", DELETED), ("a", NEW), ("c", GONE)]:
        ledger.settle(key, ledger.begin(key, state), IDS[key])
    return ledger


def read(ledger, *states, wanted=Wanted(), total=None, more=False):
    """Checks a list of one page that is read now; returns what is wrong."""
    began, items = time.monotonic(), []
    for state in states:
        key = state.title[0]
        items.append((IDS[key], key, state))
    page = Page("here", items, began, time.monotonic(), len(items) if total is None else total, more)
    ledger.check_page(page, wanted)
    ledger.check_walk([page], wanted)
    return "\n".join(ledger.wrong)


def test_right_answers_are_right(ledger):
    assert not read(ledger, NEW, OTHER)
    assert not read(ledger, NEW, wanted=Wanted("red", False))
    assert not read(ledger, wanted=Wanted("green"))


@pytest.mark.parametrize(
    "states, more, wrong",
    [
        ([OLD, OTHER], {}, "expected one of"),
        ([NEW], {}, "missing"),
        ([NEW], {"total": 2, "more": True}, "missing"),
        ([NEW, OTHER, DELETED], {}, "expected one of [None]"),
        ([NEW, OTHER, STRANGER], {}, "nobody has made d"),
        ([NEW, NEW, OTHER], {}, "one of them twice"),
        ([OTHER, NEW], {}, "not newest first"),
        ([NEW, OTHER], {"total": 3}, "total 3, expected 2 to 2"),
        ([NEW], {"total": 2}, "but the page ends at 1"),
        ([NEW, OTHER], {"wanted": Wanted("red")}, "does not match"),
    ],
)
def test_wrong_answers_are_found(ledger, states, more, wrong):
    assert wrong in read(ledger, *states, **more)


def test_an_unanswered_write_may_have_happened_and_is_certain_when_read(ledger):
    ledger.begin("a", OLD)
    assert not read(ledger, NEW, OTHER)
    assert not read(ledger, OLD, OTHER)
    assert "expected one of" in read(ledger, NEW, OTHER)


def test_a_page_may_repeat_or_skip_by_offset_what_others_moved(ledger):
    began = time.monotonic()
    ledger.settle("c", ledger.begin("c", DELETED), IDS["c"])
    pages = [Page("here", [(4, "a", NEW)], began, began), Page("here", [(4, "a", NEW)], time.monotonic(), time.monotonic())]
    ledger.check_walk(pages, Wanted("red"), by_offset=True)
    assert not ledger.wrong
    ledger.check_walk(pages, Wanted("red"))
    assert "1 repeated" in ledger.wrong[0]


def test_a_session_without_a_known_key_is_somebodys(ledger):
    ledger.begin_unnamed()
    assert not read(ledger, NEW, OTHER, STRANGER)
    ledger.settle_unnamed("d", STRANGER)
    assert "missing" in read(ledger, NEW, OTHER)
