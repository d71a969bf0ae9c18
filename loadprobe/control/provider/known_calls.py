"""What the installed botocore knows of the ElastiCache API.

Its service model decides which calls and arguments can be sent; the provider learns new
ones every few months. It is imported where it is asked, as few runs have to.
"""

from functools import cache

DURABILITY_SINCE = "1.44.8"
"""A botocore that is known to have Durability."""

MIGRATIONS_SINCE = "1.44.8"
"""A botocore that is known to have migrations into serverless caches."""


@cache
def takes(operation: str, argument: str) -> bool:
    """Tell whether a call can be made with an argument."""
    import botocore.session

    model = botocore.session.get_session().get_service_model("elasticache")
    if operation not in model.operation_names:
        return False
    shape = model.operation_model(operation).input_shape
    return shape is not None and argument in shape.members


def installed() -> str:
    """Return the version of botocore."""
    import botocore

    return str(botocore.__version__)
