"""What writers were told, and so what a read may find.

A ledger has every write of the sessions of one kind, in order: when it began, and when it was settled. A write is settled when
its response has arrived, or when a read has found it. A read that began later must find that state or a newer one.
"""

import collections
import math
import threading
import time

# `away` is whether an agent session is archived, or a device session has ended.
State = collections.namedtuple("State", "title tag away")
# The state of a session that does not exist yet, or not any more.
GONE = None
# No page takes longer. A session that was deleted before is not counted any more.
LONGEST_PAGE = 20


class Wanted(collections.namedtuple("Wanted", "tag away", defaults=(None, None))):
    """A filter of a list; None matches all."""

    def matches(self, state):
        return state is not GONE and self.tag in (None, state.tag) and self.away in (None, state.away)


class Write:
    """A write that has begun. Without an answer nobody knows whether it happened."""

    def __init__(self, state, began):
        self.state, self.began, self.settled = state, began, math.inf


class Record:
    """A session with all writes to it. Its writer begins the next write when the one before is settled."""

    def __init__(self):
        self.id, self.writes = None, []

    @property
    def state(self):
        return self.writes[-1].state

    def recent(self, began, ended):
        """The writes that a read in that time may have found, newest first. None stands for the time before the first."""
        found = []
        for write in reversed(self.writes):
            if write.began < ended:
                found.append(write)
            if write.settled < began:
                return found
        return [*found, None]

    def possible(self, began, ended):
        """The states that a read in that time may have found, newest first."""
        return [write.state if write else GONE for write in self.recent(began, ended)]


class Page:
    """One answer of a list: `items` are the id, the key and the state of each session. `offset` can be unknown, None."""

    def __init__(self, where, items, began, ended, total=None, more=False, offset=0):
        self.where, self.items, self.began, self.ended = where, items, began, ended
        self.total, self.more, self.offset = total, more, offset


class Census:
    """What is in a list for sure during some time, how much may be in it, and how many come and go meanwhile."""

    def __init__(self, records, wanted, began, ended):
        self.sure, self.most, self.come, self.left = set(), 0, 0, 0
        for key, record in records:
            matching = [wanted.matches(state) for state in record.possible(began, ended)]
            self.most += any(matching)
            if all(matching):
                self.sure.add(key)
            for after, before in zip(matching, matching[1:]):
                self.come += after and not before
                self.left += before and not after


class Ledger:
    """All sessions of one kind by their keys. `wrong` are the answers that cannot be right."""

    def __init__(self, name):
        self.name, self.lock, self.wrong = name, threading.Lock(), []
        self.records, self.alive, self.deleted, self.latest = {}, {}, collections.deque(), None
        # The number of sessions that may exist under a key that nobody knows yet.
        self.unnamed = 0

    # --- Writes -------------------------------------------------------------------------------------------------------

    def begin(self, key, state):
        """Records that a write begins."""
        with self.lock:
            record = self.records.setdefault(key, Record())
            self.alive[key] = record
            record.writes.append(Write(state, time.monotonic()))
            return record.writes[-1]

    def settle(self, key, write, session=None):
        """Records that a write was acknowledged."""
        with self.lock:
            now, record = time.monotonic(), self.records[key]
            write.settled = min(write.settled, now)
            record.id, self.latest = session or record.id, key
            if write.state is GONE:
                self.deleted.append((now, key))

    def begin_unnamed(self):
        """Records that a session is being created whose key its server chooses."""
        with self.lock:
            self.unnamed += 1

    def settle_unnamed(self, key, state):
        """Records that it was created."""
        with self.lock:
            if key not in self.records:
                self.add_unnamed(key, state, time.monotonic())

    def add_unnamed(self, key, state, now):
        self.unnamed -= 1
        record = self.records[key] = self.alive[key] = Record()
        record.id = key
        record.writes.append(Write(state, -math.inf))
        record.writes[0].settled = now

    def list_keys(self):
        """The keys of sessions to read: half of them is the one that was written last, of which stale answers are likely."""
        with self.lock:
            return [*self.alive, *[self.latest] * max(len(self.alive), 1)]

    # --- Reads --------------------------------------------------------------------------------------------------------

    def complain(self, where, what):
        self.wrong.append(f"{where}: {what}")

    def check_get(self, where, key, state, began, ended):
        """Checks the answer about one session; GONE when it was not found."""
        with self.lock:
            self.check_state(where, key, state, began, ended)

    def check_state(self, where, key, state, began, ended, session=None):
        record = self.records.get(key)
        if record is None and self.unnamed:
            return self.add_unnamed(key, state, ended)
        if record is None:
            return self.complain(where, f"nobody has made {key} {state}")
        found = [write for write in record.recent(began, ended) if (write.state if write else GONE) == state]
        if not found:
            return self.complain(where, f"{key} is {state}, expected one of {record.possible(began, ended)}")
        record.id = session or record.id
        # With two such writes, nobody knows which one was found.
        if len(found) == 1 and found[0]:
            found[0].settled = min(found[0].settled, ended)

    def check_page(self, page, wanted):
        """Checks the order of a page, each of its sessions, and its total."""
        ids = [session for session, _, _ in page.items]
        if ids != sorted(set(ids), reverse=True):
            self.complain(page.where, f"not newest first, or one of them twice: {ids}")
        with self.lock:
            for session, key, state in page.items:
                self.check_state(page.where, key, state, page.began, page.ended, session)
                if not wanted.matches(state):
                    self.complain(page.where, f"{key} is {state}, which does not match {wanted}")
            census = self.count(wanted, page.began, page.ended)
        if page.total is not None and not len(census.sure) <= page.total <= census.most:
            self.complain(page.where, f"total {page.total}, expected {len(census.sure)} to {census.most}")
        if page.total is not None and page.offset is not None:
            self.check_total(page)

    def check_total(self, page):
        """Compares the total with the end of the page, which is the end of the list unless there is more."""
        end, beyond = page.offset + len(page.items), page.offset > 0 and not page.items
        if not beyond and (page.total < end if page.more else page.total != end):
            self.complain(page.where, f"total {page.total}, but the page ends at {end}; more: {page.more}")

    def check_walk(self, pages, wanted, by_offset=False):
        """Checks that a whole list has everything that was in it all the time, and nothing twice.

        Between two pages by offset, each session that goes may hide one, and each that comes may repeat one."""
        where = f"{pages[0].where} in {len(pages)} pages"
        ids = [session for page in pages for session, _, _ in page.items]
        with self.lock:
            census = self.count(wanted, pages[0].began, pages[-1].ended)
        missing = census.sure - {key for page in pages for _, key, _ in page.items}
        if len(missing) > (census.left if by_offset else 0):
            self.complain(where, f"missing, with {census.left} gone meanwhile: {sorted(missing)[:5]}")
        if len(ids) - len(set(ids)) > (census.come if by_offset else 0):
            self.complain(where, f"{len(ids) - len(set(ids))} repeated, with {census.come} new meanwhile")
        if not by_offset and ids != sorted(ids, reverse=True):
            self.complain(where, "not newest first")

    def count(self, wanted, began, ended):
        while self.deleted and self.deleted[0][0] < began - LONGEST_PAGE:
            self.alive.pop(self.deleted.popleft()[1], None)
        return Census(self.alive.items(), wanted, began, ended)
