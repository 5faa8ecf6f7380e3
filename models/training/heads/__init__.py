"""The training studio: rasterises a morphable head with procedural looks into a labelled data set."""
