"""What a frozen encoder is worth: feature pictures, camera pose, agreement between views, imitation of an expert."""
