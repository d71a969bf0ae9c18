"""What ``check`` finds out beyond the preflight: how well a run will see.

Nothing in here keeps a run from beginning. What could disturb one, or make its figures
coarser, is a line that warns.
"""
