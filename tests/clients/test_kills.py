"""kill -9 under load: everything acknowledged is stored afterwards, and a revoked credential is never accepted again.

16 clients sign in, revoke, create and release, and record the responses. `TENURE_TEST_KILLS` is how often the server is killed
(`bench/kills`, the acceptance run: 1000)."""

import os
import random
import threading
import time

import pytest

import harness
from load import CHEAP, Client, Crowd, Line

CLIENTS = 16
KILLS = int(os.environ.get("TENURE_TEST_KILLS", "20"))
ROUNDS = int(os.environ.get("TENURE_TEST_REVOKES", "40"))


@pytest.fixture
def cheap(request, tmp_path, sqlite_or_postgres):
    """A server with cheap password hashes, on a new SQLite database or the run's PostgreSQL database."""
    tenure = harness.Tenure(sqlite_or_postgres, tmp_path, **CHEAP)
    yield tenure
    assert tenure.program.stop() == 0, f"the server did not end well:\n{tenure.program.tail()}"


@pytest.fixture(params=["sqlite", "postgres"])
def sqlite_or_postgres(request, tmp_path):
    """A database: a new file, or the run's database in PostgreSQL."""
    return f"sqlite:{tmp_path / 'tenure.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")


def test_kill_9_loses_nothing_that_was_acknowledged(cheap):
    crowd, when = Crowd(cheap, CLIENTS), random.Random(9)

    def killed():
        time.sleep(when.uniform(0.05, 0.6))
        cheap.program.kill()

    for _ in range(KILLS):
        crowd.work(killed)
        cheap.start()
        crowd.check(newest=5)
    crowd.check()
    print(f"{KILLS} kills: {crowd}")
    assert crowd.total("revoked") >= KILLS and crowd.total("made") >= KILLS and crowd.total("over") > 0


class Register:
    """One credential that is valid until it is revoked, and all attempts to use it."""

    def __init__(self, servers, credential):
        self.servers, self.credential = servers, credential
        self.tries, self.lock, self.end = [], threading.Lock(), threading.Event()

    def use(self, number):
        line = Line(self.servers[number % len(self.servers)].url)
        while not self.end.is_set():
            began = time.monotonic()
            status, _ = line.call("GET", "/frontend/api/v1/user/current", self.credential)
            with self.lock:
                self.tries.append((began, status))


def revoke_while_used(servers, client, deed):
    """Revokes a credential on the first server while 16 clients use it on all of them."""
    before = set(client.good)
    deed()
    (credential,) = set(client.good) - before
    path = client.good.pop(credential)
    register = Register(servers, credential)
    threads = [threading.Thread(target=register.use, args=(number,), daemon=True) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    harness.wait_until("it is used", lambda: sum(status == 200 for _, status in register.tries) >= CLIENTS)
    status, answer = client.line.call("DELETE", path, client.key)
    answered = time.monotonic()
    assert status == 204, (status, answer)
    harness.wait_until("it is used no more", lambda: sum(began > answered for began, _ in register.tries) >= CLIENTS)
    register.end.set()
    for thread in threads:
        thread.join(30)
    late = [status for began, status in register.tries if began > answered]
    assert set(late) == {401}, f"{len(late)} tries began after the answer: {sorted(set(late))}"
    assert {status for _, status in register.tries} == {200, 401}
    return len(late)


def test_after_a_revoke_nothing_that_begins_later_succeeds(cheap):
    client, late = Client(cheap.organization(), 1), 0
    for number in range(ROUNDS):
        late += revoke_while_used([cheap], client, client.sign_in if number % 2 else client.new_key)
    print(f"{ROUNDS} revokes, {late} requests that began after one")


def test_nor_on_another_server_of_the_same_database(postgres, tmp_path):
    one, two = (harness.Tenure(postgres, tmp_path / name, **CHEAP) for name in folders(tmp_path, "one", "two"))
    client, late = Client(one.organization(), 2), 0
    for number in range(ROUNDS):
        late += revoke_while_used([one, two], client, client.sign_in if number % 2 else client.new_key)
    print(f"{ROUNDS} revokes, {late} requests that began after one")
    for tenure in (one, two):
        assert tenure.program.stop() == 0, tenure.program.tail()


def folders(parent, *names):
    """New folders below one."""
    for name in names:
        (parent / name).mkdir()
        yield name
