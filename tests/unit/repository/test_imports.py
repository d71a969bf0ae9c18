"""What is loaded: nothing large that a run has no use for."""

import subprocess
import sys

import pytest

LOADED = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize(
    ("module", "idle"),
    [
        ("loadprobe.run.launch", "aioboto3 aiobotocore boto3 botocore cramjam yaml"),
        ("loadprobe.probe.__main__", "aioboto3 aiobotocore boto3 botocore aiohttp"),
    ],
)
def test_a_process_loads_only_what_every_run_needs(module: str, idle: str) -> None:
    """Libraries for AWS, snappy and YAML wait until a configuration asks for one."""
    command = [sys.executable, "-c", LOADED, module]
    loaded = subprocess.check_output(command, text=True, timeout=30).split()
    assert "loadprobe" in loaded
    assert sorted(set(loaded) & set(idle.split())) == []


def test_what_a_topic_needs_is_loaded_before_the_load() -> None:
    """It is loaded where receivers are checked: amid a run it would hold that up."""
    program = (
        "import sys; from loadprobe.config.webhooks import Webhook\n"
        "from loadprobe.outputs.webhooks.reach import prepare_receiver\n"
        "arn = 'arn:aws:sns:eu-west-1:123456789012:t'\n"
        "topic = Webhook('t', 'sns', topic_arn=arn)\n"
        "print('aioboto3' in sys.modules)\n"
        "print(*prepare_receiver(topic), 'aioboto3' in sys.modules)"
    )
    told = subprocess.check_output([sys.executable, "-c", program], timeout=30)
    assert told.split()[0] == b"False"
    assert told.split()[-1] == b"True"
