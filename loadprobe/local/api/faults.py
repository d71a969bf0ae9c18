"""Faults of the ElastiCache API, as an operation raises them."""


class ApiFault(Exception):
    """An error reply; not an error of ours.

    Args:
        code: the code a client sees, for example "NodeGroupNotFoundFault". The HTTP
            status follows from the service model.
        message: the text a client sees.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
