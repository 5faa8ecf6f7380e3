"""Facewire warp: a renderer from equations, without learned weights."""
