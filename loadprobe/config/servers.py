"""The section [servers]: what is noted of servers beside what clients see."""

import msgspec


class Servers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is noted of servers beside what clients see.

    Args:
        info: ask every server once a second what it has to do, by INFO.
        cloudwatch: ask CloudWatch for the metrics of the group of [control], if that is
            at AWS.
    """

    info: bool = True
    cloudwatch: bool = True
