"""What a plan says before anything is started."""

from loadprobe.config.keys import Config, Lane, Target
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.config.webhooks import Webhook
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.keys import AuthRotateStep
from loadprobe.control.scenario.transfer_keys import CopyStep, CutoverStep
from loadprobe.run.plan import RunPlan


def test_no_process_inherits_a_secret() -> None:
    """Variables that hold one are known by name, wherever they are named."""
    config = Config(
        target=Target(host="h", password_env="PASSWORD"),
        lanes=(Lane(name="tcp"),),
        remote_write=RemoteWrite(url="https://h/", password_env="REMOTE"),
        webhooks=(
            Webhook(name="a", kind="json", url_env="URL", token_env="BEARER"),
            Webhook(name="b", kind="pagerduty", routing_key_env="ROUTING"),
        ),
    )
    named = {"PASSWORD", "REMOTE", "URL", "BEARER", "ROUTING"}
    sdk = {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"}
    assert RunPlan(config).withheld == named | sdk
    by_env = AuthRotateStep(
        operation="auth_rotate", strategy="rotate", token_env="TOKEN"
    )
    by_file = AuthRotateStep(
        operation="auth_rotate", strategy="set", token_file="token"
    )
    over = CutoverStep(
        operation="cutover", target_host="t", target_password_env="THERE"
    )
    copy = CopyStep(operation="copy", tool="riot", target_password_env="ALSO")
    scenario = Scenario("s", "", steps=(by_env, by_file, over, copy))
    told = {"TOKEN", "THERE", "ALSO"}
    assert RunPlan(config, scenario=scenario).withheld == named | sdk | told
