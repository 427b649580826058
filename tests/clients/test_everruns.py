"""The unmodified everruns-sdk 0.3.1 against a Tenure server, with `tenure worker` answering."""

import asyncio
import contextlib
import gc
import json
import subprocess

import harness
import pytest
from everruns_sdk import ApiError, Everruns
from everruns_sdk.errors import AuthenticationError, NotFoundError
from everruns_sdk.models import AgentCapabilityConfig

# The SDK warns that applications should use another client than sessions.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ENDS = {"turn.completed", "turn.failed", "turn.cancelled"}


@pytest.fixture(params=["", "/everruns/api"], ids=["root", "alias"])
def base(request, tenure):
    """The wire's base URL, and its alias."""
    return tenure.url + request.param


def client(base, organization, role="readwrite", **more):
    """The SDK with the key of a member, which it sends without a scheme."""
    return Everruns(api_key=organization.key(role, "everruns")["secret"], base_url=base, **more)


async def turn(sdk, session, text, **options):
    """Sends a message and follows the session until the turn ends; returns all events of the stream."""
    await sdk.messages.create(session, text)
    seen, stream = [], sdk.events.stream(session, **options)
    async with asyncio.timeout(60), contextlib.aclosing(aiter(stream)) as events:
        async for event in events:
            seen.append(event)
            if event.type in ENDS:
                break
    await finished(stream)
    return seen


async def finished(stream):
    """Leaves a stream. The SDK leaves its connection to the garbage collector, which closes it in a separate task."""
    stream.stop()
    gc.collect()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
    await stream.aclose()


def test_a_conversation_from_the_agent_to_its_deletion(organization, base):
    """Create an agent and a session, send a message, stream the turn, list, get, search, cancel, export, delete."""

    async def story():
        async with client(base, organization) as sdk:
            agent = await sdk.agents.create(
                "echo", "Repeat what you hear.", description="Repeats", tags=["test"],
                capabilities=[AgentCapabilityConfig(ref="current_time")],
            )
            assert (agent.name, agent.status, agent.tags) == ("echo", "active", ["test"])
            assert [a.id for a in await sdk.agents.list()] == [agent.id]
            assert [a.id for a in await sdk.agents.list(search="ECH")] == [agent.id]
            assert (await sdk.agents.get(agent.id)).system_prompt == "Repeat what you hear."

            session = await sdk.sessions.create(agent_id=agent.id, title="First & foremost", tags=["one", "two"])
            assert (session.status, session.agent_id, session.tags) == ("started", agent.id, ["one", "two"])
            named = await sdk.sessions.create(agent_name="echo", title="Another")
            assert named.agent_id == agent.id

            events = await turn(sdk, session.id, "Hello there")
            assert [e.sequence for e in events] == list(range(1, len(events) + 1))
            assert events[0].type == "session.started"
            assert events[-1].type == "turn.completed", events[-1]
            deltas = [e.data["delta"] for e in events if e.type == "output.message.delta"]
            assert "".join(deltas).strip() == "You said: Hello there"

            said = await sdk.messages.list(session.id)
            assert [(m.role, m.content[0].text.strip()) for m in said] == [
                ("user", "Hello there"), ("agent", "You said: Hello there"),
            ]
            got = await sdk.sessions.get(session.id)
            assert (got.status, got.preview) == ("idle", "Hello there")
            assert got.output_preview.strip() == "You said: Hello there"

            listed = await sdk.sessions.list()
            assert [s.id for s in listed] == [named.id, session.id]
            assert [s.id for s in await sdk.sessions.list(search="first & foremost")] == [session.id]
            assert [s.id for s in await sdk.sessions.list(agent.id, search="nobody")] == []

            await sdk.sessions.pin(session.id)
            assert (await sdk.sessions.get(session.id)).is_pinned
            await sdk.sessions.unpin(session.id)
            await sdk.sessions.cancel(session.id)

            exported = [json.loads(line) for line in (await sdk.sessions.export(session.id)).splitlines()]
            assert [m["role"] for m in exported] == ["user", "agent"]

            await sdk.sessions.delete(session.id)
            with pytest.raises(NotFoundError) as gone:
                await sdk.sessions.get(session.id)
            assert (gone.value.code, gone.value.message) == ("not_found", "Session not found")
            await sdk.agents.delete(agent.id)
            again = await sdk.agents.create("echo", "The name is free again.")
            assert again.id != agent.id

    organization.worker("sed 's/^/You said: /'", agent="echo")
    asyncio.run(story())


def test_events_are_listed_with_every_filter_of_the_sdk(organization, base):
    """The list has the events of the stream, and each filter applies."""

    async def story():
        async with client(base, organization) as sdk:
            agent = await sdk.agents.create("echo", "")
            session = await sdk.sessions.create(agent_id=agent.id)
            streamed = await turn(sdk, session.id, "one")
            listed = await sdk.events.list(session.id, before_sequence=streamed[-1].sequence + 1)
            assert [(e.id, e.type, e.data) for e in listed] == [(e.id, e.type, e.data) for e in streamed]
            only = await sdk.events.list(session.id, types=["input.message", "turn.completed"])
            assert [e.type for e in only] == ["input.message", "turn.completed"]
            rest = await sdk.events.list(session.id, since_id=streamed[2].id, exclude=["output.message.delta"], limit=2)
            assert [e.sequence for e in rest] == [4, 5]
            newest = await sdk.events.list(session.id, order_desc=True, limit=1)
            assert newest[0].sequence >= streamed[-1].sequence
            found = await sdk.events.list(session.id, q="ONE", turn_id=streamed[-1].context.turn_id)
            assert {e.context.turn_id for e in found} <= {streamed[-1].context.turn_id}
            around = await sdk.events.list(session.id, around=streamed[2].id, window=1)
            assert [e.sequence for e in around] == [2, 3, 4]
            quiet = await turn(sdk, session.id, "two", since_id=newest[0].id, exclude=["output.message.delta"])
            assert "output.message.delta" not in {e.type for e in quiet}
            assert quiet[0].sequence > newest[0].sequence

    organization.worker("cat", agent="echo")
    asyncio.run(story())


def test_a_command_that_fails_is_a_failed_turn(organization, tenure):
    """Its standard error is in the events, and the next message is answered."""

    async def story():
        async with client(tenure.url, organization) as sdk:
            agent = await sdk.agents.create("moody", "")
            session = await sdk.sessions.create(agent_id=agent.id)
            failed = await turn(sdk, session.id, "fail")
            assert failed[-1].type == "turn.failed"
            assert "no" in failed[-1].data["error"]
            after = await turn(sdk, session.id, "please", since_id=failed[-1].id)
            assert after[-1].type == "turn.completed"

    organization.worker('read word; if [ "$word" = fail ]; then echo no >&2; exit 3; fi; echo "$word"', agent="moody")
    asyncio.run(story())


def test_a_stream_goes_on_after_the_server_was_killed(organization, tenure):
    """`kill -9` during a turn: the SDK reconnects by itself and sees each event once."""

    async def story():
        async with client(tenure.url, organization) as sdk:
            agent = await sdk.agents.create("slow", "")
            session = await sdk.sessions.create(agent_id=agent.id)
            await sdk.messages.create(session.id, "go")
            stream, seen = sdk.events.stream(session.id), []
            async with asyncio.timeout(120), contextlib.aclosing(aiter(stream)) as events:
                async for event in events:
                    seen.append(event)
                    if event.type == "output.message.delta" and not killed:
                        killed.append(True)
                        await asyncio.to_thread(tenure.kill_and_restart)
                    if event.type in ENDS:
                        break
            await finished(stream)
            assert [e.sequence for e in seen] == list(range(1, len(seen) + 1))
            assert killed and seen[-1].type == "turn.completed", seen[-1]

    killed = []
    organization.worker("for n in 1 2 3 4 5 6; do echo $n; sleep 1; done", agent="slow")
    asyncio.run(story())


def test_errors_are_the_sdks_own(organization, tenure):
    """Each error arrives with its code and message."""

    async def story():
        wrong = Everruns(api_key="evr_wrong", base_url=tenure.url)
        with pytest.raises(AuthenticationError) as refused:
            await wrong.sessions.list()
        assert (refused.value.code, refused.value.status_code) == ("unauthorized", 401)
        await wrong.close()
        async with client(tenure.url, organization, "readonly") as reader:
            with pytest.raises(ApiError) as refused:
                await reader.sessions.create()
            assert (refused.value.code, refused.value.status_code) == ("forbidden", 403)
        async with client(tenure.url, organization, org_id=f"org_{'0' * 31}1") as stray:
            with pytest.raises(ApiError) as refused:
                await stray.sessions.list()
            assert (refused.value.code, refused.value.status_code) == ("forbidden", 403)
        async with client(tenure.url, organization) as sdk:
            with pytest.raises(ApiError) as refused:
                await sdk.sessions.create(tags=[str(n) for n in range(51)])
            assert (refused.value.code, refused.value.message) == ("invalid_request", "tags: expected at most 50 tags")
            with pytest.raises(NotFoundError):
                await sdk.sessions.create(agent_id=f"agent_{'0' * 32}")
            assert await sdk.sessions.list(f"agent_{'0' * 32}") == []

    asyncio.run(story())


def test_the_sdks_rust_crate_does_the_same(organization, base):
    """The program in everruns-rust, built with the unmodified crate: from the agent to its deletion."""
    worker = organization.worker("printf 'You said: '; cat", agent="rust")
    environment = harness.clean_environment(
        organization.folder, EVERRUNS_API_URL=base, EVERRUNS_API_KEY=organization.key("readwrite", "everruns")["secret"],
    )
    program = harness.TENURE.parent / "everruns-client"
    done = subprocess.run([program, "rust"], env=environment, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{worker.tail()}"
    seen = json.loads(done.stdout)
    assert seen["events"][0] == "session.started" and seen["events"][-1] == "turn.completed"
    assert "output.message.completed" in seen["events"]
    assert seen["session"] in seen["listed"] and seen["found"] == [seen["session"]]
    assert (seen["status"], seen["title"], seen["messages"]) == ("Idle", "from the Rust SDK", 2)
    assert seen["exported"] >= 2 and "not found" in seen["gone"].lower()
