"""The learned renderer: a network that refines the geometric warp of `warp`."""
