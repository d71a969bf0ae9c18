"""A truth of its own: nothing here knows the product or the other scripted server."""
