# SPDX-License-Identifier: Apache-2.0
"""The same commands of the stock client on the real Keystone and on the embedded one: the same answers.

Compared are exit codes, the keys of what is printed, the values that both can know, and what is said of errors.
Ids, moments, URLs and secrets are made alike first. Where the two differ on purpose, DIFFERENCES says why; a
difference that is not there fails, and so does one that is there no more.
"""

from __future__ import annotations

import json
import re
import unittest
from pathlib import Path
from typing import Any

from tests.clients.runner import Clients
from tests.cloud import Cloud
from tests.real_keystone import RealKeystone

RULES = json.dumps([{"service": "container", "method": "GET", "path": "/v1/containers"}])
# NAME is a record's name in the tests, so that both sides make the same.
COMMANDS = """
domain create --description first dom
domain create dom
domain list
domain show dom
domain show nowhere
domain set --description second dom
domain delete dom
project create --domain dom --description first --tag one --property colour=blue proj
project create --domain dom proj
project create --parent proj --domain dom child
project create --domain nowhere lost
project list --domain dom
project list --tags one
project list --my-projects
project show proj --domain dom
project show --children proj --domain dom
project show --parents child --domain dom
project show nowhere
project set --domain dom --description second --tag two --property size=7 proj
project delete --domain dom proj
user create --domain dom --password secret --email a@example.org --description first ann
user create --domain dom --password secret ann
user create --domain dom --password secret bob
user list --domain dom
user show --domain dom ann
user show nobody
user set --domain dom --email b@example.org --enable ann
user set --domain dom --description second ann
group create --domain dom --description first grp
group create --domain dom grp
group list --domain dom
group show --domain dom grp
group show nowhere
group set --domain dom --description second grp
group add user --group-domain dom --user-domain dom grp ann
group contains user --group-domain dom --user-domain dom grp ann
group contains user --group-domain dom --user-domain dom grp bob
group list --user ann --user-domain dom
user list --group grp --domain dom
role create --description first watcher
role create watcher
role list
role show watcher
role show nowhere
role set --description second watcher
role delete member
implied role create watcher --implied-role reader
implied role create watcher --implied-role admin
implied role list
implied role delete watcher --implied-role reader
implied role delete watcher --implied-role reader
role add --project proj --project-domain dom --user ann --user-domain dom watcher
role add --project proj --project-domain dom --group grp --group-domain dom reader
role add --domain dom --user ann --user-domain dom manager
role add --system all --user ann --user-domain dom reader
role add --domain dom --user ann --user-domain dom --inherited reader
role add --project nowhere --user ann --user-domain dom reader
role assignment list --user ann --user-domain dom --names
role assignment list --user ann --user-domain dom --effective --names
role assignment list --project proj --project-domain dom --names
role assignment list --system all --names
role assignment list --user ann --user-domain dom --inherited --names
user list --project proj --domain dom
role remove --project proj --project-domain dom --user ann --user-domain dom watcher
role remove --project proj --project-domain dom --user ann --user-domain dom watcher
role remove --domain dom --user ann --user-domain dom --inherited reader
region create --description first reg
region create reg
region list
region show reg
region show nowhere
region set --description second reg
service create --name svc --description first kind
service list
service show svc
service show nowhere
service set --description second svc
endpoint create --region reg svc public http://192.0.2.1/v1
endpoint create --region nowhere svc public http://192.0.2.1/v1
endpoint create --region reg nowhere public http://192.0.2.1/v1
endpoint list --service svc
endpoint list --interface public --region reg
region delete reg
service delete svc
region delete reg
catalog show identity
token issue
token revoke made-up
application credential create --description first --secret known cred
application credential create cred
application credential create --role service wide
application credential create --expiration 2001-01-01T00:00:00 past
application credential create --expiration 2100-01-01T00:00:00 --role reader late
application credential create --access-rules RULES bound
application credential create --unrestricted open
application credential list
application credential show cred
application credential show nowhere
access rule list
access rule show nowhere
application credential delete cred late bound open
role delete watcher
group remove user --group-domain dom --user-domain dom grp ann
group remove user --group-domain dom --user-domain dom grp ann
group delete --domain dom grp
user delete --domain dom ann bob
user delete nobody
project delete --domain dom child
project delete --domain dom proj
domain set --disable dom
domain delete dom
""".strip().splitlines()
AS_DEMO = """
token issue
user list
project list
project list --my-projects
role list
domain list
domain show default
service list
endpoint list
region list
catalog list
role assignment list
user show demo
project show demo
user create x
project create x
role add --user demo --project demo admin
application credential create mine
application credential list
application credential delete mine
""".strip().splitlines()
PRINTING = {"list", "show", "create", "issue"}
OURS = re.compile(r'"(dom|proj|child|ann|bob|grp|watcher|reg|svc|cred|late|bound|open)\b')
OWN_WORDS = "a sentence of our own, with the same status"
DIFFERENCES: dict[str, str] = {
    **dict.fromkeys(
        (
            "admin: domain create dom",
            "admin: domain delete dom",
            "admin: project create --domain dom proj",
            "admin: project delete --domain dom proj",
            "admin: user create --domain dom --password secret ann",
            "admin: group create --domain dom grp",
            "admin: role create watcher",
            "admin: role delete member",
            "admin: implied role create watcher --implied-role admin",
            "admin: implied role delete watcher --implied-role reader",
            "admin: region create reg",
            "admin: region delete reg",
            "admin: token revoke made-up",
            "admin: application credential create cred",
            "admin: application credential create --role service wide",
            "admin: application credential create --expiration 2001-01-01T00:00:00 past",
            "admin: access rule show nowhere",
            "admin: group remove user --group-domain dom --user-domain dom grp ann",
        ),
        OWN_WORDS,
    ),
    "admin: role assignment list --user ann --user-domain dom --effective --names": (
        "what counts for a user is also what it has in the system"
    ),
    "admin: role assignment list --user ann --user-domain dom --inherited --names": (
        "what is in the system is not inherited by anything"
    ),
    "demo: user show demo": "a list by name has what is the caller's own, so that names can be used",
    "demo: project show demo": "a list by name has what is the caller's own, so that names can be used",
}
_ALIKE = (
    (re.compile(r"\(Request-ID: req-[0-9a-f-]+\)"), ""),
    (re.compile(r"https?://127\.0\.0\.1:\d+(/identity)?"), "URL"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "ID"),
    (re.compile(r"gAAAAA[\w=-]+"), "TOKEN"),
    (re.compile(r'"[\w-]{86}"'), "SECRET"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+0000)?"), "MOMENT"),
)


class OracleTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.keystone, cls.cloud = RealKeystone(), Cloud()
        for server in (cls.keystone, cls.cloud):
            cls.addClassCleanup(server.stop)
            server.start()
        file = Path(cls.keystone.folder) / "clouds.yaml"
        file.write_text(cls.keystone.clouds())
        cls.sides = {}
        for name, environment in (
            ("Keystone", {**cls.cloud.environment, "OS_CLIENT_CONFIG_FILE": str(file)}),
            ("embedded", cls.cloud.environment),
        ):
            cls.sides[name] = Clients(environment)
            cls.addClassCleanup(cls.sides[name].stop)
            cls.sides[name].start()

    def test_an_administrators_commands_are_answered_alike(self):
        self.compare(COMMANDS, "admin")

    def test_a_members_commands_are_answered_alike(self):
        self.compare(AS_DEMO, "demo")

    def compare(self, commands: list[str], cloud: str) -> None:
        differing = {}
        for command in commands:
            words = [RULES if word == "RULES" else word for word in command.split()]
            seen = {name: told(clients, words, cloud) for name, clients in self.sides.items()}
            if seen["Keystone"] != seen["embedded"]:
                differing[f"{cloud}: {command}"] = "\n".join(f"  {name}: {what}" for name, what in seen.items())
        known = {key for key in DIFFERENCES if key.startswith(f"{cloud}: ")}
        unknown = [f"{key}\n{what}" for key, what in differing.items() if key not in known]
        self.assertEqual([], unknown, "\n" + "\n".join(unknown))
        self.assertEqual(set(), known - set(differing), "these differ no more")


def told(clients: Clients, words: list[str], cloud: str) -> Any:
    """What a command comes to, without what no two servers have in common."""
    prints = PRINTING & set(words[:4])
    done = clients.openstack(*words, *(("-f", "json") if prints else ()), cloud=cloud, check=False)
    if done.code or not prints:
        return done.code, alike(done.stdout), alike(done.stderr)
    said = ordered(done.json())
    if isinstance(said, dict):
        return 0, {key: alike(json.dumps(value, sort_keys=True)) for key, value in said.items()}
    columns = sorted({key for row in said for key in row})
    rows = [alike(json.dumps(row, sort_keys=True)) for row in said]
    # The two have accounts of their own besides.
    return 0, columns, sorted(row for row in rows if OURS.search(row))


def ordered(value: Any) -> Any:
    """Lists sorted at every depth: in which order things come, neither promises."""
    if isinstance(value, dict):
        return {key: ordered(each) for key, each in value.items()}
    if isinstance(value, list):
        return sorted((ordered(each) for each in value), key=lambda each: alike(json.dumps(each, sort_keys=True)))
    return value


def alike(text: str) -> str:
    for pattern, word in _ALIKE:
        text = pattern.sub(word, text)
    return text.strip()
