"""Line protocols: one module or folder each."""
