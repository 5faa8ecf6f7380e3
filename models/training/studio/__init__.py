"""Facewire's portrait studio: a morphable head dressed with procedural skin, eyes, hair and clothes, and photographed.

Axes of the studio: centimetres, x to the subject's left, y up, z towards the camera; the origin lies inside the head.
"""
