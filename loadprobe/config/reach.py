"""What the keys of a tunnel have to agree on with others. Pure."""

from loadprobe.config.keys import Target
from loadprobe.errors import ConfigError

_OURS = {
    "batchmode": "nobody could answer what ssh asks",
    "clearallforwardings": "forwards are loadprobe's affair",
    "controlmaster": "the connection is loadprobe's own",
    "controlpath": "the connection is loadprobe's own",
    "controlpersist": "the connection ends with the run",
    "dynamicforward": "forwards are loadprobe's affair",
    "exitonforwardfailure": "forwards are loadprobe's affair",
    "forkafterauthentication": "the connection ends with the run",
    "gatewayports": "forwards listen on loopback only",
    "localforward": "forwards are loadprobe's affair",
    "remoteforward": "forwards are loadprobe's affair",
    "stdinnull": "the connection ends with the run",
}
"""Options of ssh that cannot be given, in small letters -> why."""


def check_tunnel(target: Target, at: str) -> None:
    """Check a target that has a tunnel.

    Raises:
        ConfigError: it has an address map too, or an option that is not to be given.
    """
    assert target.tunnel is not None, "see above"
    if target.address_map:
        raise ConfigError(
            f"{at}.address_map",
            "a tunnel makes its own; remove address_map or [target.tunnel]",
        )
    for option in target.tunnel.options:
        name = option.replace("=", " ").split()[0]
        reason = _OURS.get(name.lower())
        if reason is not None:
            raise ConfigError(
                f"{at}.tunnel.options", f"{name} cannot be given: {reason}; remove it"
            )
