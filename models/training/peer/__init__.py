"""face-vid2vid (Wang, Mallya, Liu: One-Shot Free-View Neural Talking-Head Synthesis, CVPR 2021), the baseline of the evaluation."""
