"""What is done to a real cluster, and to the meter, against what is reported."""
