"""The configuration: what is accepted, what is refused and how, and the page on it."""

import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loadprobe.config.file import describe_key, load_config, parse_config
from loadprobe.config.keys import SECTIONS, Config, Target, to_plain, with_endpoint
from loadprobe.config.webhooks import Webhook
from loadprobe.errors import ConfigError
from tests.support.paths import ROOT

BAD_FILES = sorted((ROOT / "tests" / "config").glob("*.toml"))
SMALLEST = '[target]\nhost = "db.example.com"\n\n[[lanes]]\nname = "tcp"\n'
FIELDS = [
    (section, field)
    for section, struct in SECTIONS.items()
    for field in msgspec.structs.fields(struct)
]
URL_KEY = "LOADPROBE_REMOTE_WRITE_URL"
FIELD_IDS = [f"{section}.{field.name}" for section, field in FIELDS]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove LOADPROBE_ variables, of which the machine may have some."""
    for name in os.environ:
        if name.startswith("LOADPROBE_"):
            monkeypatch.delenv(name)


def with_environment(text: str = SMALLEST, **environ: str) -> Config:
    """Parse a configuration under an environment."""
    return parse_config(text, where="run.toml", environ=environ)


def target_of(**keys: str) -> Target:
    """Return a target with some keys set."""
    return msgspec.structs.replace(Target("db.example.com"), **keys)


def test_the_smallest_file() -> None:
    """Host and lane name are enough; the contract's defaults hold."""
    config = with_environment()
    (lane,) = config.lanes
    assert (config.target.port, config.target.cluster) == (6379, True)
    assert (lane.loop, lane.deadline_ms, lane.read_ratio) == ("open", 250, 0.8)
    assert config.http.address == ("127.0.0.1", 9121)


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
def test_bad_files(path: Path) -> None:
    """Every bad file is refused with the message in its first line."""
    expected = path.read_text().partition("\n")[0].removeprefix("# ")
    with pytest.raises(ConfigError) as caught:
        load_config(str(path))
    assert str(caught.value) == f"{path}: {expected}"
    assert caught.value.exit_code == 2
    assert "hunter2" not in str(caught.value)


def wrong(section: str, key: str) -> str:
    """Return a file in which one key has a value that no key takes."""
    target, lane = SMALLEST.split("\n\n")
    line = f"{key} = [true]"
    match section, key:
        case "", "target":
            return f"{line}\n{lane}"
        case "", "lanes":
            return f"{line}\n{target}"
        case "webhooks", _:
            return f"{SMALLEST}[[webhooks]]\n{line}\n"
        case "", _:
            return f"{line}\n{SMALLEST}"
        case "target", _:
            target = target if key != "host" else "[target]"
            return f"{target}\n{line}\n{lane}"
        case "lanes", _:
            lane = lane if key != "name" else "[[lanes]]\n"
            return f"{target}\n{lane}{line}\n"
        case _:
            return f"{SMALLEST}[{section}]\n{line}\n"


@pytest.mark.parametrize(("section", "field"), FIELDS, ids=FIELD_IDS)
def test_every_key_refuses_a_wrong_type(
    section: str, field: msgspec.structs.FieldInfo
) -> None:
    """A value of a type no key has is refused with the key's path."""
    at = {
        "": "",
        "lanes": "lanes[0].",
        "lanes.client": "lanes[0].client.",
        "webhooks": "webhooks[0].",
    }.get(section, f"{section}.")
    with pytest.raises(ConfigError) as caught:
        with_environment(wrong(section, field.name))
    message = str(caught.value)
    assert message.startswith(f"run.toml: {at}{field.name}")
    assert "is not usable; expected" in message


@pytest.mark.parametrize("number", ["1" * 5000, "[" * 2000 + "]" * 2000])
def test_values_that_the_parser_cannot_hold(number: str) -> None:
    """A number of thousands of digits or an absurd nesting is no crash."""
    with pytest.raises(ConfigError, match="run.toml: not valid TOML: a number of"):
        with_environment(f"{SMALLEST}keys = {number}\n")


def test_unreadable_files(tmp_path: Path) -> None:
    """A path that is no text file is refused by name."""
    missing = str(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match="cannot read it: No such file"):
        load_config(missing)
    with pytest.raises(ConfigError, match="cannot read it: Is a directory"):
        load_config(str(tmp_path))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_config(str(binary))
    with pytest.raises(ConfigError):
        load_config("a\0b")


@pytest.mark.parametrize(
    "host", ["db", "db.example.com.", "10.0.0.1", "::1", "my_host", "xn--e1afmkfd.net"]
)
def test_hosts(host: str) -> None:
    """Names and addresses of both families are hosts."""
    text = SMALLEST.replace("db.example.com", host)
    assert with_environment(text).target.host == host


def test_addresses() -> None:
    """The address map takes names, IPv4 and IPv6 addresses."""
    text = SMALLEST.replace(
        "\n\n",
        '\naddress_map = { "[::1]:1" = "a:2", "10.0.0.1:1" = "[::1]:65535" }\n\n',
    )
    assert len(with_environment(text).target.address_map) == 2


# --- secrets --------------------------------------------------------------------------


def test_password_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password is the first line of the file, or the variable, as it is."""
    file = tmp_path / "password"
    file.write_text(" hünter2 \nsecond\n", encoding="utf-8")
    assert target_of(password_file=str(file)).read_password() == " hünter2 "
    monkeypatch.setenv("CACHE_PASSWORD", "hunter2")
    assert target_of(password_env="CACHE_PASSWORD").read_password() == "hunter2"
    assert target_of().read_password() is None


def test_unusable_password_references(tmp_path: Path) -> None:
    """A reference to nothing is refused with the key, and shows nothing secret."""
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\nsecond\n")
    binary.write_bytes(b"hunter2\xff\n")
    for path, problem in (
        (tmp_path / "none", "No such file or directory; it must be a text file"),
        (tmp_path, "Is a directory"),
        (empty, "is empty; put the password in line 1"),
        (binary, "not UTF-8 text; it must be a text file"),
    ):
        with pytest.raises(ConfigError, match=r"target\.password_file: ") as caught:
            target_of(password_file=str(path)).read_password()
        assert problem in str(caught.value)
        assert "hunter2" not in repr(caught.value.__cause__) + str(caught.value)
    with pytest.raises(ConfigError, match="variable 'NO_SUCH' is not set, or empty"):
        target_of(password_env="NO_SUCH").read_password()


def test_the_kept_configuration_holds_references_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What goes into the run folder names where the secret is, and not the secret."""
    monkeypatch.setenv("CACHE_PASSWORD", "hunter2")
    text = SMALLEST.replace("\n\n", '\npassword_env = "CACHE_PASSWORD"\n\n')
    kept = repr(to_plain(with_environment(text)))
    assert "CACHE_PASSWORD" in kept
    assert "hunter2" not in kept


# --- the environment ------------------------------------------------------------------


def test_the_environment_overrides_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LOADPROBE_<SECTION>_<KEY> wins over the file, also over a section it lacks."""
    path = tmp_path / "run.toml"
    path.write_text(f'{SMALLEST}[http]\nlisten = "127.0.0.1:1"\n')
    for name, value in {
        "NAME": "night",
        "TARGET_HOST": "other.example.com",
        "TARGET_PORT": "7000",
        "TARGET_CLUSTER": "false",
        "HTTP_LISTEN": "",
        "SLO_P99_MS": "2.5",
        "CONTROL_REPLICATION_GROUP": "007",
    }.items():
        monkeypatch.setenv(f"LOADPROBE_{name}", value)
    config = load_config(str(path))
    assert config.name == "night"
    assert config.target == Target("other.example.com", port=7000, cluster=False)
    assert (config.http.listen, config.slo.p99_ms) == ("", 2.5)
    assert config.control is not None
    assert config.control.replication_group == "007"


def test_the_forwards_of_a_tunnel_are_no_part_of_the_configuration() -> None:
    """They are others in every run, and a run that goes on has the same digest."""
    text = SMALLEST + '[target.tunnel]\nssh = "b"\n'
    config = with_environment(text)
    before = to_plain(config)
    config.target.address_map["10.0.0.1:1"] = "127.0.0.1:2"
    assert to_plain(config) == before


def test_every_scalar_key_has_a_variable() -> None:
    """Each key outside of the lanes has a variable; it may refuse the value."""
    for section, field in FIELDS:
        tables = (*SECTIONS, "address_map", "extra_labels", "tunnel")
        if section.startswith(("lanes", "webhooks", "target.")):
            continue
        if field.name in tables:
            continue
        name = "_".join(filter(None, ("LOADPROBE", section, field.name))).upper()
        try:
            with_environment(**{name: "\N{SNOWMAN}"})
        except ConfigError as exc:
            assert "not the environment variable" not in str(exc)  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "LOADPROBE_TARGET_HOSTS",
            "x",
            (
                "LOADPROBE_TARGET_HOSTS: not the environment variable of a key; did "
                "you mean 'LOADPROBE_TARGET_HOST'? (or unset it)"
            ),
        ),
        (
            "LOADPROBE_TARGET_PORT",
            "70000",
            (
                "LOADPROBE_TARGET_PORT: '70000' is not usable; expected a whole number "
                "from 1 to 65535"
            ),
        ),
        (
            "LOADPROBE_PROBE_STALL_MS",
            "20ms",
            (
                "LOADPROBE_PROBE_STALL_MS: '20ms' is not usable; expected a whole "
                "number from 5 to 1000 (milliseconds, without the unit)"
            ),
        ),
        (
            "LOADPROBE_TARGET_CLUSTER",
            "maybe",
            "LOADPROBE_TARGET_CLUSTER: 'maybe' is not usable; expected true or false",
        ),
    ],
)
def test_wrong_variables(name: str, value: str, message: str) -> None:
    """A variable of no key, or with a wrong value, is refused by its name."""
    with pytest.raises(ConfigError) as caught:
        with_environment(**{name: value})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "name", ["LOADPROBE_LANES", "LOADPROBE_WEBHOOKS", "LOADPROBE_TARGET_ADDRESS_MAP"]
)
def test_tables_have_no_variable(name: str) -> None:
    """Lanes and tables cannot be set by the environment."""
    with pytest.raises(ConfigError, match="not the environment variable of a key"):
        with_environment(**{name: "x"})


def test_the_variable_of_the_password_is_not_a_key() -> None:
    """A LOADPROBE_ variable may hold the password, wherever it is named."""
    text = SMALLEST.replace("\n\n", '\npassword_env = "LOADPROBE_PASSWORD"\n\n')
    assert with_environment(text, LOADPROBE_PASSWORD="hunter2").target.password_env
    named = {"LOADPROBE_TARGET_PASSWORD_ENV": "LOADPROBE_SECRET"}
    assert with_environment(**named, LOADPROBE_SECRET="hunter2").target.password_env
    with pytest.raises(ConfigError) as caught:
        with_environment(LOADPROBE_PASSWORD="hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_receiver_by_the_environment() -> None:
    """The section may come from variables alone; its password is none of them."""
    text = f'{SMALLEST}\n[remote_write]\nusername = "me"\n'
    text += 'extra_labels = { job = "x" }\n'
    given = {
        URL_KEY: "https://[::1]:9090/api/v1/write",
        "LOADPROBE_REMOTE_WRITE_PASSWORD_ENV": "LOADPROBE_SECRET",
        "LOADPROBE_SECRET": "hunter2",
    }
    config = with_environment(text, **given)
    assert config.remote_write is not None
    assert config.remote_write.url == given[URL_KEY]
    assert "hunter2" not in str(to_plain(config))
    in_file = text + f'password_env = "LOADPROBE_SECRET"\nurl = "{given[URL_KEY]}"\n'
    assert with_environment(in_file, LOADPROBE_SECRET="hunter2").remote_write


@pytest.mark.parametrize(
    "url",
    [
        "prometheus.example.com/api/v1/write",
        "ftp://prometheus.example.com/",
        "https:///api/v1/write",
        "https://prometheus.example.com:x/",
        "https://prometheus.example.com:70000/",
        "https://prometheus.example.com:0/",
        "https://[::1/",
        "https://prometheus.example.com/a b",
        "https://prometheus.example.com/ä",
        "https://hunter2@prometheus.example.com/",
        "https://@prometheus.example.com/",
        "https://prometheus.example.com/?",
        "https://prometheus.example.com/#hunter2",
        "https://prometheus.example.com/\\r\\nX: y",
    ],
)
def test_what_is_no_receiver(url: str) -> None:
    """An address that cannot be used, or may hold a secret, is refused unseen."""
    with pytest.raises(ConfigError, match="not the address of a receiver") as caught:
        with_environment(f'{SMALLEST}\n[remote_write]\nurl = "{url}"\n')
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://me:hunter2@localhost:1/", "aws.example.com", "https://h/?key=hunter2"],
)
def test_what_is_no_api(url: str) -> None:
    """An endpoint that cannot be used, or may hold a secret, is refused unseen."""
    section = f'[control]\nreplication_group = "rg"\nendpoint_url = "{url}"\n'
    with pytest.raises(ConfigError, match="control.endpoint_url: not the") as caught:
        with_environment(f"{SMALLEST}\n{section}")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("http://prometheus.example.com/api/v1/write", True),
        ("https://prometheus.example.com/api/v1/write", False),
        ("http://127.0.0.1:9090/api/v1/write", False),
        ("http://localhost:9090/api/v1/write", False),
    ],
)
@pytest.mark.parametrize(
    "login",
    ['username = "me"\npassword_file = "p"', 'bearer_token_file = "t"'],
)
def test_a_login_in_the_open(url: str, login: str, *, is_refused: bool) -> None:
    """A login goes over plain HTTP to this machine alone."""
    text = f'{SMALLEST}\n[remote_write]\nurl = "{url}"\n{login}\n'
    if not is_refused:
        assert with_environment(text).remote_write
        return
    with pytest.raises(ConfigError, match="can be read on its way"):
        with_environment(text)


def test_a_wrong_section_is_told_before_its_overrides() -> None:
    """An override into something that is no section does not hide that."""
    with pytest.raises(ConfigError, match="target: 1 is not usable"):
        with_environment("target = 1\nlanes = []\n", LOADPROBE_TARGET_HOST="x")


# --- webhooks -------------------------------------------------------------------------


def webhook_of(**keys: Any) -> Webhook:
    """Return a webhook with some keys set."""
    return Webhook(**({"name": "chat", "kind": "slack"} | keys))


def test_the_variable_of_a_webhook_is_not_a_key() -> None:
    """A LOADPROBE_ variable may hold an address, and is in nothing that is kept."""
    text = f'{SMALLEST}\n[[webhooks]]\nname = "chat"\nkind = "slack"\n'
    text += 'url_env = "LOADPROBE_SLACK_URL"\n'
    url = "https://hooks.example.com/services/hunter2"
    config = with_environment(text, LOADPROBE_SLACK_URL=url)
    assert config.webhooks[0].has_secret_url
    assert "hunter2" not in str(to_plain(config))
    with pytest.raises(ConfigError) as caught:
        with_environment(LOADPROBE_SLACK_URL=url)
    assert "hunter2" not in str(caught.value)


def test_addresses_of_webhooks_are_read_by_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file or a variable, as it is now; PagerDuty has one of its own."""
    file = tmp_path / "url"
    file.write_text("https://hooks.example.com/a?sig=b \n")
    webhook = webhook_of(url_file=str(file))
    assert webhook.read_url() == "https://hooks.example.com/a?sig=b"
    file.write_text("https://hooks.example.com/c\n")
    assert webhook.read_url() == "https://hooks.example.com/c"
    monkeypatch.setenv("CHAT_URL", "http://localhost:1/")
    assert webhook_of(url_env="CHAT_URL").read_url() == "http://localhost:1/"
    monkeypatch.setenv("KEY", " 0123456789abcdef0123456789abcdef ")
    pager = webhook_of(kind="pagerduty", routing_key_env="KEY")
    assert pager.read_url() == "https://events.pagerduty.com/v2/enqueue"
    assert pager.read_routing_key() == "0123456789abcdef0123456789abcdef"
    monkeypatch.setenv("TOKEN", "hunter2")
    assert webhook_of(kind="json", token_env="TOKEN").read_token() == "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example.com/hunter2",
        "ftp://hooks.example.com/hunter2",
        "file:///hunter2",
        "https://me:hunter2@hooks.example.com/",
        "https://hooks.example.com/hunter2#x",
        "https://hooks.example.com/hunter2 x",
        "https:///hunter2",
        "https://hooks.example.com:0/hunter2",
        "https://[hunter2/",
        "http://hooks.example.com/hunter2",
    ],
)
def test_what_is_no_address_of_a_webhook(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused by the key of its reference, and not shown."""
    monkeypatch.setenv("CHAT_URL", url)
    with pytest.raises(ConfigError) as caught:
        webhook_of(url_env="CHAT_URL").read_url()
    message = str(caught.value)
    assert message.startswith("webhooks.chat.url_env: what it holds is")
    assert "hunter2" not in message


def test_a_token_of_a_webhook_is_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could smuggle a header in is refused, and not shown."""
    monkeypatch.setenv("TOKEN", "hunter2\r\nX-Other: 1")
    with pytest.raises(ConfigError, match="webhooks.chat.token_env") as caught:
        webhook_of(kind="json", token_env="TOKEN").read_token()
    assert "hunter2" not in str(caught.value)


# --- the page -------------------------------------------------------------------------


@pytest.mark.parametrize(("section", "field"), FIELDS, ids=FIELD_IDS)
def test_the_page_lists_every_key(
    section: str, field: msgspec.structs.FieldInfo
) -> None:
    """docs/configuration.md has every key with its values, default and reason."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    heading = {
        "": "Top of the file",
        "lanes": "`[[lanes]]`",
        "webhooks": "`[[webhooks]]`",
    }.get(section, f"`[{section}]`")
    part = text.partition(f"\n### {heading}\n")[2].partition("\n##")[0]
    values = describe_key(section, field.name)
    default = shown_default(field)
    row = f"\n| `{field.name}` | {values} | {default} | "
    assert row in part
    assert len(part.partition(row)[2].partition(" |\n")[0]) > 5


def test_the_page_lists_no_other_key() -> None:
    """docs/configuration.md has no key that is not there."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted(field.name for _, field in FIELDS)


def shown_default(field: msgspec.structs.FieldInfo) -> str:
    """Return a default as the page shows it."""
    if field.required:
        return "required"
    default = (
        field.default
        if field.default_factory is msgspec.NODEFAULT
        else field.default_factory()
    )
    if default is None or default == ():
        return "not set"
    if isinstance(default, msgspec.Struct):
        return "the defaults below"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f'`"{default}"`' if isinstance(default, str) else f"`{default}`"


def test_the_endpoint_may_be_asked_of_the_api() -> None:
    """With a [control] section there need not be a host; its endpoint is put in."""
    text = '[target]\ncluster = false\n[control]\nreplication_group = "g"\n'
    config = with_environment(text + '[[lanes]]\nname = "tcp"\n')
    assert config.target.host == ""
    resolved = with_endpoint(config, "db.example.com", 6380)
    assert resolved.target == Target("db.example.com", port=6380, cluster=False)
    assert resolved.lanes == config.lanes


def test_an_endpoint_is_that_of_one_transport() -> None:
    """Another endpoint for TLS lanes leaves the port of the others as it is."""
    target = Target("h", port=1)
    assert target.at(tls=True, host="h", port=2) == Target("h", port=1, tls_port=2)
    assert target.at(tls=False, host="g", port=3) == Target("g", port=3)
    assert (target.port_of(tls=True), target.port_of(tls=False)) == (1, 1)
    assert Target("h", port=1, tls_port=2).port_of(tls=True) == 2


@pytest.mark.parametrize(
    "keys",
    [
        'ssh = "-oProxyCommand=evil"',
        'ssh = ""',
        'ssh = " bastion"',
        'ssh = "bastion evil"',
        'ssh = "bastion\\n"',
        'ssh = "b"\noptions = ["-oProxyCommand=evil"]',
        'ssh = "b"\noptions = ["Port"]',
        'ssh = "b"\noptions = [""]',
        'ssh = "b"\noptions = ["="]',
        'ssh = "b"\noptions = ["Port=1\\nProxyCommand=evil"]',
    ],
)
def test_a_tunnel_is_no_option(keys: str) -> None:
    """Where it leads is a host or a login, and an option begins with its name."""
    with pytest.raises(ConfigError, match=r"run\.toml: target\.tunnel"):
        parse_config(f"{SMALLEST}[target.tunnel]\n{keys}\n", where="run.toml")


@pytest.mark.parametrize(
    "option",
    ["LocalForward=1 h:2", "gatewayports yes", "ControlPath=/tmp/x", "BATCHMODE=no"],
)
def test_options_that_are_not_given_to_ssh(option: str) -> None:
    """What is loadprobe's own affair, however it is written."""
    text = f'{SMALLEST}[target.tunnel]\nssh = "b"\noptions = ["{option}"]\n'
    with pytest.raises(ConfigError, match="cannot be given"):
        parse_config(text, where="run.toml")
    with_port = text.replace(option, "Port=2222")
    tunnel = parse_config(with_port, where="run.toml").target.tunnel
    assert tunnel is not None
    assert tunnel.options == ("Port=2222",)
