"""Hooks of `test_schemathesis.py`: they change a request before it is sent and learn from its response. Schemathesis loads this
file."""

import atexit
import base64
import collections
import hmac
import json
import os
import pathlib
import random
import re
import struct
import time
import urllib.request

import requests
import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase


# Statuses of a missing or ended credential, a missing permission, or an object that does not exist.
REFUSED = (303, 401, 403, 404, 410)


class Caller:
    """The caller of the requests. When a request ends its credential or deletes its organization, another caller continues, because
    everything after that would be refused."""

    def __init__(self):
        # The first caller's organization is in the program's settings.
        self.organizations = set()
        # The headers of all callers so far.
        self.shown = set()
        self.another()

    def another(self):
        with urllib.request.urlopen(os.environ["TENURE_CALLERS"], timeout=60) as answer:
            self.now = json.load(answer)
        self.organizations.add(self.now["organization"])
        self.shown |= set(self.now["headers"].items())
        self.has = {part for part, *_ in self.now["things"]}
        things.begin(self.now["things"])

    def meant(self, case):
        """Puts the caller's values into a request; fields of the body only some of the time."""
        for name, value in self.now["headers"].items():
            # A request may be made long before it is sent.
            if (name, (case.headers or {}).get(name)) in self.shown:
                case.headers[name] = value
                # A worker claims with a key, and reports about a turn with the turn's token.
                own = things.said.get("turn_token") or (case.path.endswith("/work/claim") and self.now["says"].get("worker_key"))
                if name == "Authorization" and own:
                    case.headers[name] = f"Bearer {own}"
        if (case.path_parameters or {}).get("org") in self.organizations:
            case.path_parameters["org"] = self.now["organization"]
        for part, fields in ((ParameterLocation.BODY, case.body), (ParameterLocation.QUERY, case.query)):
            # Also when only the body is wrong: then the program checks it again.
            alone = part == ParameterLocation.BODY and not any(wrong(case, other) for other in BESIDES)
            if isinstance(fields, dict) and (alone or not wrong(case, part)):
                known = self.now["says"] | things.codes | things.said
                says = {name: value for name, value in known.items() if type(fields.get(name)) is type(value)}
                if says and things.chance.random() < 0.6:
                    fields.update(says)

    def heard(self, response):
        if response.status_code not in REFUSED:
            return
        method, url = self.now["check"]
        body = None if method == "GET" else {}
        good = requests.request(method, url, headers=self.now["headers"], json=body, allow_redirects=False, timeout=30)
        if good.status_code in REFUSED:
            self.another()


# The parts that can be wrong besides a body.
BESIDES = (ParameterLocation.PATH, ParameterLocation.QUERY, ParameterLocation.HEADER, ParameterLocation.COOKIE)
# Fields of responses that other requests send.
CODES = ("device_code", "user_code", "challenge")
PAGES = {"challenge": 'name="challenge" value="([^"]+)"', "secret": 'id="secret">([A-Z2-7 ]+)<'}


def found(pointer, path, body):
    """The value of a link's expression, or None."""
    if pointer.startswith("$request.path."):
        return path.get(pointer.removeprefix("$request.path."))
    for part in pointer.removeprefix("$response.body#/").split("/"):
        try:
            body = body[int(part) if isinstance(body, list) else part]
        except (LookupError, TypeError):
            return None
    return None if body is None else str(body)


def one_time(secret):
    """The current code of a second factor (RFC 6238)."""
    mac = hmac.digest(base64.b32decode(secret.replace(" ", "")), struct.pack(">Q", int(time.time()) // 30), "sha1")
    number = struct.unpack(">I", mac[mac[-1] & 15 :][:4])[0] & 0x7FFF_FFFF
    return f"{number % 1_000_000:06}"


class Things:
    """Objects that a path can name, by operation: from responses, and the caller's own. Without them all requests would name objects
    that do not exist."""

    def __init__(self):
        self.chance = random.Random(1)
        self.begin([])

    def begin(self, owned):
        """Starts with the objects of a new caller: parts of paths, and their parameters."""
        self.owned = [(part, thing, said) for part, thing, *said in owned]
        self.known = collections.defaultdict(lambda: collections.deque(maxlen=20))
        # Values of responses that another request sends, by name.
        self.codes = {}
        # Fields of the body that go with the object of the current request.
        self.said = {}

    def fitting(self, case):
        """The known objects for an operation."""
        names = set(case.path_parameters) - {"org"}
        owned = [(thing, *said) for part, thing, said in self.owned if part in case.path and set(thing) == names]
        return [(thing,) for thing in self.known[case.operation.definition.raw["operationId"]]] + owned

    def meant(self, case):
        self.said = {}
        if set(case.path_parameters or {}) - {"org"} and self.chance.random() < 0.8:
            fitting = self.fitting(case)
            # A new caller has new objects, but is slow to make.
            if not fitting and any(part in case.path for part in caller.has) and self.chance.random() < 0.1:
                caller.another()
                fitting = self.fitting(case)
            if fitting:
                thing, *said = self.chance.choice(fitting)
                case.path_parameters.update(thing)
                self.said = said[0] if said else {}

    def heard(self, case, response):
        kind, body = response.headers.get("content-type", [""])[0], None
        if kind.startswith("application/json"):
            body = response.json()
        elif kind.startswith("text/html"):
            # Values that a page has for its next form.
            body = {name: match[1] for name, pattern in PAGES.items() if (match := re.search(pattern, response.text))}
        if isinstance(body, dict):
            self.codes |= {name: body[name] for name in CODES if name in body}
            if body.get("secret"):
                self.codes["code"] = one_time(body["secret"])
        path = dict(case.path_parameters or {})
        if response.status_code in (404, 410) or case.method == "DELETE" and response.status_code < 300:
            return self.over({name: value for name, value in path.items() if name != "org"})
        links = case.operation.definition.raw.get("responses", {}).get(str(response.status_code), {}).get("links", {})
        for link in links.values():
            thing = {name: found(pointer, path, body) for name, pointer in link["parameters"].items()}
            thing.pop("org", None)
            known = self.known[link["operationId"]]
            if thing and None not in thing.values() and thing not in known:
                known.append(thing)

    def over(self, gone):
        """Forgets an object that no longer exists."""
        self.owned = [one for one in self.owned if one[1] != gone]
        for known in self.known.values():
            while gone and gone in known:
                known.remove(gone)


things = Things()
caller = Caller()
answered = collections.defaultdict(collections.Counter)


# A caller chooses an organization with these headers.
ORGANIZATION = ("X-Organization-ID", "X-Org-ID")


@schemathesis.auth(refresh_interval=None)
class Credential:
    """The headers of the current caller."""

    def get(self, case, context):
        return caller.now["headers"]

    def set(self, case, data, context):
        show(case, data)


def show(case, headers):
    """Puts headers into a request."""
    case.headers = case.headers or {}
    for name in ORGANIZATION:
        if name not in headers and not wrong(case, ParameterLocation.HEADER):
            case.headers.pop(name, None)
    for name, value in headers.items():
        # A header that is wrong on purpose stays.
        if not wrong(case, ParameterLocation.HEADER) or name not in case.headers:
            case.headers[name] = value


def wrong(case, part):
    """Whether this part of the request is wrong on purpose."""
    return case.meta is not None and case.meta.is_negative_at(part)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes a request one that a client could send, except for the parts that are wrong on purpose."""
    if not wrong(case, ParameterLocation.BODY):
        # JSON Schema accepts 1.0 as an integer; clients write 1.
        case.body = whole(case.body)
        if isinstance(case.body, dict):
            fit(case.body)
    if case.query:
        case.query = as_read(case)
    # In the stateful phase the program itself chooses the object of a request.
    walking = case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL
    if not walking and not wrong(case, ParameterLocation.PATH):
        things.meant(case)
    caller.meant(case)
    if case.method == "POST" and case.path.endswith("/tags") and not wrong(case, ParameterLocation.BODY):
        make_room(case, kwargs)
    # Otherwise a claim would wait for up to half a minute.
    if case.path.endswith("/work/claim") and isinstance(case.body, dict) and isinstance(case.body.get("wait_seconds"), int):
        case.body["wait_seconds"] = min(case.body["wait_seconds"], 0)


@schemathesis.hook
def after_call(context, case, response):
    """Remembers new objects, and checks that the caller is still valid."""
    answered[f"{case.method} {case.path}"][response.status_code] += 1
    things.heard(case, response)
    caller.heard(response)


@atexit.register
def tell():
    """Writes how often each operation was answered with which status."""
    pathlib.Path("answered.json").write_text(json.dumps(answered))


def fit(body):
    """Makes a body follow rules that no schema can express."""
    if isinstance(body.get("session_secrets"), list):
        # Each key occurs once.
        body["session_secrets"] = list({one["key"]: one for one in body["session_secrets"]}.values())
    if isinstance(body.get("attachment_urls"), list):
        # Valid URLs are defined by another standard.
        body["attachment_urls"] = [f"https://example.test/{number}" for number, _ in enumerate(body["attachment_urls"])]
    if len(json.dumps(body.get("claims"))) > 1_000:
        # Their limit is in bytes.
        body["claims"] = {}


def make_room(case, kwargs):
    """Removes a session's tags: no schema can say how many more it can have."""
    requests.put(case.as_transport_kwargs(kwargs.get("base_url"))["url"], headers=dict(case.headers), json={"tags": []}, timeout=30)


def as_read(case):
    """A query as a server reads it: empty values are not sent, and lists have texts."""
    sent = {name: value for name, value in case.query.items() if value not in (None, [], {})}
    # A made-up cursor is rightly refused.
    if isinstance(sent.get("after"), str) and not case.path.startswith("/tenure/"):
        del sent["after"]
    for name, value in sent.items():
        parameter = case.operation.query.get(name)
        if parameter and parameter.definition.get("schema", {}).get("type") == "array":
            sent[name] = texts(value)
    return sent


def texts(value):
    """The texts that a value becomes in a URL; for an object its names."""
    if isinstance(value, (list, dict)):
        return [text for item in value for text in texts(item)]
    return [] if value is None else [value if isinstance(value, str) else json.dumps(value)]


def whole(value):
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    return value
