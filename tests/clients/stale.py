"""Two servers of one database, with writers and readers that use both and compare every answer with the ledgers."""

import collections
import random
import threading
import time
import traceback
import urllib.parse

from ledger import GONE, Ledger, Page, State, Wanted
from load import Line

TAGS = [f"tag-{number}" for number in range(6)]
# A writer keeps about this many agent sessions.
KEPT = 30


class Server:
    """A server that can be killed, and when it was away."""

    def __init__(self, tenure):
        self.tenure, self.outages = tenure, []

    def kill_and_restart(self):
        outage = [time.monotonic(), float("inf")]
        self.outages.append(outage)
        self.tenure.kill_and_restart()
        outage[1] = time.monotonic()

    def was_away(self, since, until):
        return any(killed <= until and since <= ready for killed, ready in self.outages)


class Pair:
    """Both servers, an organization, a key, and everything known about its sessions."""

    def __init__(self, one, two):
        self.servers = [Server(one), Server(two)]
        self.organization = one.organization()
        self.key = self.organization.key("readwrite")["secret"]
        self.devin = f"/v3/organizations/org-{self.organization.id.replace('-', '')}/sessions"
        self.agents, self.devices = Ledger("agent sessions"), Ledger("device sessions")
        self.over = threading.Event()

    @property
    def wrong(self):
        return self.agents.wrong + self.devices.wrong


class Client:
    """Somebody with a connection to each server, who uses them by turns. `counts` is what happened."""

    def __init__(self, pair, number, seed):
        self.pair, self.name = pair, f"{type(self).__name__.lower()}-{number}"
        self.random = random.Random(f"{seed} {self.name}")
        self.ways = [(server, Line(server.tenure.url)) for server in pair.servers]
        # When each connection was last known to work.
        self.since = [time.monotonic()] * len(self.ways)
        self.turn, self.counts = number, collections.Counter()

    def call(self, method, path, body=None):
        """A request to the other server than last time: where, status, body, and when it began and ended.

        Status 0 means that a server which was killed meanwhile did not answer, or asked to come again."""
        self.turn += 1
        number = self.turn % len(self.ways)
        server, line = self.ways[number]
        began = time.monotonic()
        status, answer = line.call(method, path, self.pair.key, body)
        since, ended = self.since[number], time.monotonic()
        self.since[number] = ended
        where = f"{self.name} {method} {path} on server {number + 1}"
        if status == 0 and server.was_away(since, ended):
            self.counts["broken"] += 1
        elif status == 503 and line.headers["Retry-After"] and server.was_away(began, ended):
            self.counts["503"] += 1
            status = 0
        elif status in (0, 503):
            self.pair.agents.complain(where, f"{status} {answer}, and no server was away")
        if status == 0:
            time.sleep(0.01)
        return where, status, answer, began, ended

    def run(self):
        try:
            while not self.pair.over.is_set() and not self.pair.wrong:
                self.act()
        except Exception:
            self.pair.agents.complain(self.name, traceback.format_exc())


class Writer(Client):
    """Creates, changes and deletes sessions of its own."""

    def __init__(self, pair, number, seed):
        super().__init__(pair, number, seed)
        self.made, self.keys, self.devices = 0, [], []

    def act(self):
        records = self.pair.agents.records
        # A session whose creation was not answered can be used when a reader has found it.
        usable = [key for key in self.keys if records[key].id]
        chance = self.random.random()
        if chance < 0.05:
            return self.create_device_session()
        if chance < 0.08 and self.devices:
            return self.end_device_session(self.devices.pop())
        if not usable or chance < (0.4 if len(usable) < KEPT else 0.1):
            return self.create()
        key = self.random.choice(usable)
        # An archived session cannot be changed.
        deeds = [self.archive, self.delete] + ([] if records[key].state.away else [self.rename, self.tag])
        self.random.choice(deeds)(key, records[key].state, records[key].id)

    def create(self):
        self.made += 1
        key = f"{self.name}.{self.made}"
        state = State(f"{key} first", self.random.choice(TAGS), False)
        write = self.pair.agents.begin(key, state)
        self.keys.append(key)
        body = {"title": state.title, "tags": [state.tag]}
        if self.random.random() < 0.5:
            where, status, answer, *_ = self.call("POST", "/v1/sessions", body)
        else:
            where, status, answer, *_ = self.call("POST", self.pair.devin, body | {"prompt": "Begin"})
        if status in (200, 201):
            self.counts["writes"] += 1
            self.pair.agents.settle(key, write, plain_id(answer.get("id") or answer["session_id"]))
        else:
            self.not_answered(where, status, answer)

    def rename(self, key, state, session):
        self.made += 1
        new = state._replace(title=f"{key} {self.made}")
        self.change(key, new, "PATCH", f"/v1/sessions/session_{session}", {"title": new.title})

    def tag(self, key, state, session):
        new = state._replace(tag=self.random.choice(TAGS))
        body = {"tags": [new.tag]}
        if self.random.random() < 0.5:
            self.change(key, new, "PATCH", f"/v1/sessions/session_{session}", body)
        else:
            self.change(key, new, "PUT", f"{self.pair.devin}/{session}/tags", body)

    def archive(self, key, state, session):
        new = state._replace(away=not state.away)
        if self.random.random() < 0.5:
            self.change(key, new, "PUT" if new.away else "DELETE", f"/v1/sessions/session_{session}/archive")
        else:
            self.change(key, new, "POST", f"{self.pair.devin}/{session}/{'archive' if new.away else 'unarchive'}")

    def delete(self, key, state, session):
        self.keys.remove(key)
        self.change(key, GONE, "DELETE", f"/v1/sessions/session_{session}")

    def create_device_session(self):
        self.pair.devices.begin_unnamed()
        where, status, answer, *_ = self.call("POST", "/api/v1/sessions")
        if status == 201:
            self.counts["writes"] += 1
            self.devices.append(plain_id(answer["id"]))
            self.pair.devices.settle_unnamed(self.devices[-1], State(None, None, False))
        else:
            self.not_answered(where, status, answer)

    def end_device_session(self, session):
        self.change(session, State(None, None, True), "DELETE", f"/api/v1/sessions/{session}")

    def change(self, key, state, method, path, body=None):
        """Sends a write until it is acknowledged. It may have happened before: then it changes nothing."""
        ledger = self.pair.devices if path.startswith("/api/") else self.pair.agents
        write, again = ledger.begin(key, state), False
        while not self.pair.wrong:
            where, status, answer, *_ = self.call(method, path, body)
            if status in (200, 204) or (again and (status, state) == (404, GONE)):
                self.counts["writes"] += 1
                return ledger.settle(key, write)
            again = True
            self.not_answered(where, status, answer)

    def not_answered(self, where, status, answer):
        self.counts["uncertain"] += 1
        if status:
            self.pair.agents.complain(where, f"{status} {answer}")


class Reader(Client):
    """Reads lists and sessions, and compares them with the ledgers."""

    def act(self):
        read = self.random.choice([self.get, self.get, self.walk_by_cursor, self.walk_by_offset, self.walk_devices])
        read()

    def read(self, path):
        """GETs from a server, or from the other one if it was killed."""
        while not self.pair.wrong:
            where, status, answer, began, ended = self.call("GET", path)
            if status:
                self.counts["reads"] += 1
                return where, status, answer, began, ended
        return None

    def get(self):
        """Reads one session, often the one that was changed last."""
        ledger = self.random.choice([self.pair.agents, self.pair.agents, self.pair.devices])
        key = self.random.choice(ledger.list_keys())
        session = ledger.records[key].id if key else None
        if session is None:
            return
        paths = [f"{self.pair.devin}/{session}", f"/v1/sessions/session_{session}"]
        path = f"/api/v1/sessions/{session}" if ledger is self.pair.devices else self.random.choice(paths)
        found = self.read(path)
        if not found:
            return
        where, status, answer, began, ended = found
        if status not in (200, 404):
            return ledger.complain(where, f"{status} {answer}")
        parse = device_session if ledger is self.pair.devices else agent_session
        ledger.check_get(where, key, parse(answer)[2] if status == 200 else GONE, began, ended)

    def walk_by_cursor(self, wanted=None, first=None):
        wanted = wanted or self.wish()
        query = {"first": first or self.random.choice([20, 50, 200])}
        query |= {"tags": wanted.tag} if wanted.tag else {}
        query |= {"is_archived": str(wanted.away).lower()} if wanted.away is not None else {}
        follow = lambda answer, _: {"after": answer["end_cursor"]} if answer["has_next_page"] else None
        self.walk(self.pair.agents, wanted, self.pair.devin, query, "items", agent_session, follow)

    def walk_by_offset(self, wanted=None, limit=None):
        wanted, limit = wanted or self.wish(), limit or self.random.choice([20, 50, 100])
        query = {"limit": limit, "offset": 0} | ({"tag": wanted.tag} if wanted.tag else {})
        query |= {None: {"include_archived": "true"}, True: {"archived_only": "true"}, False: {}}[wanted.away]
        follow = lambda answer, count: {"offset": count} if len(answer["data"]) == limit else None
        self.walk(self.pair.agents, wanted, "/v1/sessions", query, "data", agent_session, follow, by_offset=True)

    def walk_devices(self, limit=None):
        query = {"limit": limit or self.random.choice([100, 500])}
        follow = lambda answer, _: {"before": answer["nextCursor"]} if "nextCursor" in answer else None
        self.walk(self.pair.devices, Wanted(), "/api/v1/sessions", query, "data", device_session, follow)

    def wish(self):
        """A filter: a list of one tag fits on a page, other lists do not."""
        return Wanted(self.random.choice([None, *TAGS]), self.random.choice([None, True, False]))

    def walk(self, ledger, wanted, path, query, items, parse, follow, by_offset=False):
        """Reads a whole list, each page from the other server than the one before, and checks it."""
        pages, count, more = [], 0, {}
        while more is not None:
            found = self.read(f"{path}?{urllib.parse.urlencode(query | more)}")
            if not found:
                return
            where, status, answer, began, ended = found
            if status != 200:
                return ledger.complain(where, f"{status} {answer}")
            offset = count if by_offset or not pages else None
            parsed = [parse(item) for item in answer[items]]
            count += len(parsed)
            more = follow(answer, count)
            pages.append(Page(where, parsed, began, ended, answer.get("total"), more is not None, offset))
            ledger.check_page(pages[-1], wanted)
        self.counts["walks"] += 1
        ledger.check_walk(pages, wanted, by_offset)

    def read_everything(self):
        """When nobody writes any more, every list is exact. Reads each of them from both servers."""
        for _ in self.ways:
            self.turn += 1
            for wanted in [Wanted(tag, away) for tag in [None, *TAGS] for away in (None, True, False)]:
                self.walk_by_cursor(wanted)
                self.walk_by_offset(wanted)
            self.walk_devices()


def plain_id(text):
    """A session's id as 32 digits, which sort by the time of its creation."""
    return text.removeprefix("session_").replace("-", "")


def agent_session(item):
    """The id, the key and the state of an agent session on Devin's or Everruns' wire."""
    away = item["is_archived"] if "is_archived" in item else "archived_at" in item
    state = State(item["title"], item["tags"][0], away)
    return plain_id(item.get("session_id") or item["id"]), state.title.split(" ")[0], state


def device_session(item):
    """The id, the key and the state of a device session on Mobile Next's wire."""
    session = plain_id(item["id"])
    return session, session, State(None, None, item["releasedAt"] is not None)
