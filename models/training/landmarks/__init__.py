"""A reader of 2-D landmarks for game clients: head pose and ARKit's coefficients of whoever a webcam's face tracker sees."""
