"""Which port outside each node gets, and what is wrong with rules that are in force."""

from loadprobe.control.reach.nat import NatPlan, compare_rules, plan_nat
from loadprobe.core.topology.announced import Announced

OUTSIDE = "203.0.113.5"
ONE = Announced((("10.0.0.1", 6379),), "10.0.0.1", "a")
TWO = Announced((("node2.example", 6379),), "10.0.0.2", "b")
NEW = Announced((("node3.example", 6379), ("10.0.0.3", 6379)), "10.0.0.3", "c")
NODES = [(ONE, "0001 primary"), (TWO, "0001 replica")]
MAP = {
    "10.0.0.1:6379": f"{OUTSIDE}:7001",
    "node2.example:6379": f"{OUTSIDE}:7002",
    "cfg.example:6379": f"{OUTSIDE}:7001",
}
LEADS = {7001: ("10.0.0.1", 6379), 7002: ("10.0.0.2", 6379)}


def planned(
    *more: tuple[Announced, str], known: dict[str, str] | None = None
) -> NatPlan:
    """Return the plan of two nodes and more."""
    return plan_nat(
        [*NODES, *more],
        outside=OUTSIDE,
        first_port=7001,
        known=known or {},
        endpoints=["cfg.example:6379"],
    )


def test_every_node_and_the_endpoint_have_an_entry() -> None:
    """Nodes get ports in their order; the endpoint leads to the first of them."""
    assert planned().address_map == MAP


def test_a_node_has_an_entry_for_each_name_it_is_announced_by() -> None:
    """Whatever a redirect calls it, it is found: by its name and by its address."""
    found = planned((NEW, "no slots yet")).address_map
    assert found["node3.example:6379"] == found["10.0.0.3:6379"] == f"{OUTSIDE}:7003"


def test_ports_that_were_given_stay() -> None:
    """A node that left takes nothing away; what is new gets a port that was not given.

    The port of one that is gone is not given to another: its rule may still be there.
    """
    known = {"10.0.0.9:6379": f"{OUTSIDE}:7001", "node2.example:6379": f"{OUTSIDE}:9"}
    plan = planned(known=known)
    ports = {opening.inside[0]: opening.port for opening in plan.openings}
    assert ports == {"10.0.0.1": 7002, "10.0.0.2": 9}


def test_a_map_that_leads_elsewhere_gives_no_ports() -> None:
    """Ports of another host are those of another NAT, or of a tunnel."""
    known = {"10.0.0.1:6379": "127.0.0.1:9999"}
    assert planned(known=known).address_map == MAP
    assert compare_rules(planned(known=known), LEADS, known) == []


def test_rules_that_are_right() -> None:
    """Nothing is said of rules that lead to every node."""
    assert compare_rules(planned(known=MAP), LEADS, MAP) == []


def test_a_node_that_no_rule_leads_to() -> None:
    """A rule and an entry are missing, and both are said."""
    plan = planned((NEW, "no slots yet"), known=MAP)
    rule, *entries = compare_rules(plan, LEADS, MAP)
    assert rule == (
        "no rule leads to 10.0.0.3:6379 (no slots yet): add one from port 7003"
    )
    assert entries == [
        f'[target] address_map has no entry for {at}: add "{at}" = "{OUTSIDE}:7003"'
        for at in ("node3.example:6379", "10.0.0.3:6379")
    ]


def test_a_rule_to_a_node_that_left() -> None:
    """A replaced node leaves a rule behind that leads nowhere."""
    leads = LEADS | {7009: ("10.0.0.9", 6379)}
    (problem,) = compare_rules(planned(known=MAP), leads, MAP)
    assert problem == (
        "port 7009 leads to 10.0.0.9:6379, which is no node of the cluster (any more): "
        "remove its rule"
    )


def test_a_node_that_kept_its_name_and_changed_its_address() -> None:
    """The entry is right and the rule is not: it says where it leads, and should."""
    leads = LEADS | {7002: ("10.0.0.7", 6379)}
    (problem,) = compare_rules(planned(known=MAP), leads, MAP)
    assert problem == (
        "port 7002 leads to 10.0.0.7:6379, and is to lead to 10.0.0.2:6379 (0001 "
        "replica): change its rule"
    )


def test_a_rule_at_another_port_than_the_map_says() -> None:
    """Both exist and disagree: clients would knock where nothing leads."""
    leads = {7001: ("10.0.0.1", 6379), 8002: ("10.0.0.2", 6379)}
    (problem,) = compare_rules(planned(known=MAP), leads, MAP)
    assert problem == (
        "port 7002 leads nowhere, and is to lead to 10.0.0.2:6379 (0001 replica), "
        "which port 8002 leads to: let the rule and address_map agree"
    )
