"""Which library a driver's name stands for.

A library takes up to 300 ms and 40 MB to import: only for those who use it.
"""

from importlib import import_module

from loadprobe.config.keys import Client
from loadprobe.drivers.clients.library.base import Library, Login, Tally


def make_library(
    name: str, client: Client, tally: Tally, login: Login, *, tls: bool
) -> Library:
    """Return the library of a driver.

    Args:
        name: of the driver; not "wire".
        client: how the application sets it up.
        tally: is told what the library does.
        login: how to log in.
        tls: connect by TLS.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    match name:
        case "coredis":
            library = import_module("loadprobe.drivers.clients.coredis.library").Coredis
        case "valkey-glide":
            library = import_module("loadprobe.drivers.clients.glide.library").Glide
        case _:
            library = import_module(
                "loadprobe.drivers.clients.redis_py.library"
            ).RedisLike
    made: Library = library(name, client, tally, login, tls=tls)
    return made
