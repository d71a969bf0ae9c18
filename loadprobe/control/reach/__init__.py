"""Ways to a cluster that is not reached directly: NAT and tunnels."""
