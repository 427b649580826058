"""The vendor's own Python client (devinai 0.1.0) and a command line of its users (devin-cli 1.5.1), both unmodified."""

import concurrent.futures
import itertools
import json
import pathlib
import subprocess
import sys
import time

import devin_sdk
import httpx
import pytest

import harness



@pytest.fixture
def key(organization):
    """The key of a member with the role `readwrite`."""
    return organization.key("readwrite")["secret"]


def sdk(tenure, key):
    """devinai with only its URL changed."""
    return devin_sdk.DevinSDK(api_key=key, base_url=tenure.url)


@pytest.fixture
def client(organization, key):
    """devinai with that key."""
    return sdk(organization.tenure, key)


@pytest.fixture
def org(organization):
    """The organization's id as users of this client write it."""
    return "org-" + organization.id.replace("-", "")


def test_devinai_from_create_to_end(organization, client, org):
    """Create, get, messages, tags, archive, terminate."""
    sessions = client.organizations.sessions
    made = sessions.create(
        org, prompt="Fix the tests", title="Tests", tags=["ci", "red"], max_acu_limit=7, playbook_id="playbook-1",
        repos=["acme/app"], structured_output_schema={"type": "object"}, advanced_mode="analyze",
        session_secrets=[{"key": "TOKEN", "value": "hunter2", "sensitive": True}],
    )
    assert (made.status, made.tags, made.org_id, made.is_advanced) == ("new", ["ci", "red"], org, True)
    assert made.url == f"{organization.tenure.url}/sessions/{made.session_id}"
    for name in (made.session_id, f"devin-{made.session_id}"):
        got = sessions.retrieve(name, org_id=org)
        assert (got.session_id, got.title, got.playbook_id) == (made.session_id, "Tests", "playbook-1")
    assert abs(got.created_at - time.time()) < 120
    assert "hunter2" not in got.to_json()
    said = sessions.messages.send(made.session_id, org_id=org, message="Go on")
    assert said.session_id == made.session_id
    listed = sessions.messages.list(made.session_id, org_id=org)
    assert [(m.source, m.message) for m in listed.items] == [("user", "Fix the tests"), ("user", "Go on")]
    assert (listed.has_next_page, listed.end_cursor) == (False, None)
    assert sessions.tags.append(made.session_id, org_id=org, tags=["new", "ci"]).tags == ["ci", "red", "new"]
    assert sessions.tags.replace(made.session_id, org_id=org, tags=["only"]).tags == ["only"]
    assert sessions.tags.retrieve(made.session_id, org_id=org).tags == ["only"]
    insights = sessions.insights.retrieve(made.session_id, org_id=org)
    assert (insights.num_user_messages, insights.session_size, insights.analysis) == (2, "xs", None)
    assert sessions.insights.generate(made.session_id, org_id=org).session_id == made.session_id
    assert sessions.archive(made.session_id, org_id=org).is_archived is True
    ended = sessions.terminate(made.session_id, org_id=org, archive=False)
    assert (ended.status, ended.is_archived) == ("exit", True)


def test_devinai_uploads_and_reads(client, org):
    """A file is uploaded, attached to a message, listed, and read through the redirect."""
    sent = client.organizations.attachments.upload(org, file=("notes of today.txt", b"hello"))
    assert sent.name == "notes of today.txt"
    made = client.organizations.sessions.create(org, prompt="Read it", attachment_urls=[sent.url])
    (attached,) = client.organizations.sessions.list_attachments(made.session_id, org_id=org)
    assert (attached.attachment_id, attached.name, attached.source) == (sent.attachment_id, sent.name, "user")
    read = httpx.get(attached.url, headers={"Authorization": f"Bearer {client.api_key}"}, follow_redirects=True)
    assert (read.status_code, read.text, len(read.history)) == (200, "hello", 1)
    message = client.organizations.sessions.messages.list(made.session_id, org_id=org).items[0]
    assert "ATTACHMENT:" in message.message


def test_devinai_lists_with_every_filter(client, org):
    """Each filter of the client finds the matching session and no other."""
    sessions = client.organizations.sessions
    one = sessions.create(
        org, prompt="One", tags=["a", "b"], playbook_id="playbook-1", extra_body={"origin": "slack", "schedule_id": "s"}
    )
    two = sessions.create(org, prompt="Two", tags=["c"])

    def found(**filters):
        page = sessions.list(org, **filters)
        assert page.total == len(page.items), page
        return {item.session_id for item in page.items}

    both = {one.session_id, two.session_id}
    assert found() == both
    assert found(session_ids=[f"devin-{one.session_id}", two.session_id]) == both
    assert found(session_ids=[one.session_id]) == {one.session_id}
    assert found(session_ids=["unknown"]) == set()
    assert found(tags=["a"]) == found(tags=["a", "b"]) == {one.session_id}
    assert found(tags=["a", "c"]) == both
    assert found(origins=["slack"]) == {one.session_id}
    assert found(origins=["slack", "api"]) == both
    assert found(playbook_id="playbook-1") == found(schedule_id="s") == {one.session_id}
    assert found(user_ids=[one.user_id]) == both
    assert found(service_user_ids=["service-user-" + "0" * 32]) == set()
    late = two.created_at + 100
    assert found(created_after=one.created_at, created_before=late) == both
    assert found(created_after=late) == found(updated_after=late) == found(created_before=one.created_at) == set()
    assert found(updated_before=late) == both
    assert {item.session_id for item in sessions.insights.list(org, tags=["a"]).items} == {one.session_id}


def test_devinai_pages_through_a_thousand_sessions(client, org):
    """Newest first, none repeated or missing, with the exact total on every page."""
    sessions = client.organizations.sessions
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        made = {s.session_id for s in threads.map(lambda n: sessions.create(org, prompt=f"Number {n}"), range(1000))}
    assert len(made) == 1000
    found, times, after = [], [], devin_sdk.omit
    for _ in itertools.count():
        page = sessions.list(org, first=137, after=after)
        assert page.total == 1000
        found += [item.session_id for item in page.items]
        times += [item.created_at for item in page.items]
        if not page.has_next_page:
            break
        after = page.end_cursor
    assert (len(found), set(found)) == (1000, made)
    assert times == sorted(times, reverse=True)


def test_devinai_reads_the_account(organization, client, org):
    """`/v3/enterprise/sessions` through the raw `get` of the client."""
    made = client.organizations.sessions.create(org, prompt="Seen from above")
    account = sdk(organization.tenure, organization.tenure.account_key("viewer"))
    cast = devin_sdk.types.organizations.SessionListResponse
    page = account.get("/v3/enterprise/sessions", cast_to=cast, options={"params": {"org_ids": [org]}})
    assert [item.session_id for item in page.items] == [made.session_id]
    with pytest.raises(devin_sdk.PermissionDeniedError):
        client.get("/v3/enterprise/sessions", cast_to=cast)


def test_devinai_is_told_what_is_wrong(organization, client, org):
    """The client raises its own errors, with the sentence in `detail`."""
    sessions = client.organizations.sessions

    def detail(error, call):
        with pytest.raises(error) as raised:
            call()
        return raised.value.body["detail"]

    assert "not found" in detail(devin_sdk.NotFoundError, lambda: sessions.retrieve("devin-" + "0" * 32, org_id=org))
    many = [str(number) for number in range(51)]
    invalid = devin_sdk.UnprocessableEntityError
    assert "at most 50" in detail(invalid, lambda: sessions.create(org, prompt="x", tags=many))
    schema = {"type": "object", "description": "x" * 65_536}
    assert "64 KB" in detail(invalid, lambda: sessions.create(org, prompt="x", structured_output_schema=schema))
    for first in (0, 201):
        assert "from 1 to 200" in detail(invalid, lambda: sessions.list(org, first=first))
    other = "org-" + organization.tenure.organization().id.replace("-", "")
    assert "not a member" in detail(devin_sdk.PermissionDeniedError, lambda: sessions.list(other))
    stranger = sdk(organization.tenure, "cog_" + "a" * 52)
    unknown = detail(devin_sdk.AuthenticationError, lambda: stranger.organizations.sessions.list(org))
    assert unknown.startswith("Unauthorized")


class DevinCli:
    """`devin` of devin-cli at a terminal."""

    def __init__(self, organization, key, org):
        home = organization.folder / "devin"
        home.mkdir()
        self.environment = harness.clean_environment(
            home, DEVIN_BASE_URL=f"{organization.tenure.url}/v3", DEVIN_API_TOKEN=key, DEVIN_ORG_ID=org
        )
        self.program = pathlib.Path(sys.executable).parent / "devin"
        self.home = home

    def run(self, *arguments, stdin=""):
        """Runs it; it must succeed. Returns its output."""
        done = subprocess.run(
            [self.program, "--json", *arguments], env=self.environment, cwd=self.home, input=stdin,
            capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, f"devin {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments, stdin=""):
        """`run`, parsed from the first brace or bracket on, because the command may print a question first."""
        text = self.run(*arguments, stdin=stdin)
        begin = min(at for at in (text.find("{"), text.find("[")) if at >= 0)
        return json.JSONDecoder().raw_decode(text[begin:])[0]


def test_devin_cli(organization, key, org):
    """Create, list, get, messages, tags, archive."""
    cli = DevinCli(organization, key, org)
    made = cli.json("sessions", "create", "hello")
    name = made["session_id"]
    listed = cli.json("sessions", "list", "--all")
    items = listed if isinstance(listed, list) else listed["items"]
    assert [item["session_id"] for item in items] == [name]
    assert cli.json("sessions", "get", name)["session_id"] == name
    cli.run("use", name)
    cli.run("sessions", "message", "and more")
    said = cli.json("sessions", "messages", name)
    messages = said if isinstance(said, list) else said["items"]
    assert [message["message"] for message in messages] == ["hello", "and more"]
    cli.run("update-tags", name, "--tag", "x", "--tag", "y")
    assert cli.json("sessions", "get", name)["tags"] == ["x", "y"]
    cli.run("sessions", "archive", name, stdin="y\n")
    assert cli.json("sessions", "get", name)["is_archived"] is True
