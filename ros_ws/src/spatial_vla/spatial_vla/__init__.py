"""What runs on the robot: camera frames and a sentence in, safe joint commands out."""
