"""What can go wrong with a look-up; names and meaning as in tf2_ros."""


class TransformException(Exception):
    """Base of all look-up errors."""


class LookupException(TransformException):
    """A frame is not known, or the tree is not a tree."""


class ConnectivityException(TransformException):
    """Both frames are known but no chain of transforms joins them."""


class ExtrapolationException(TransformException):
    """The time asked for lies outside what has been received."""


class InvalidArgumentException(TransformException):
    """A frame name or a transform is malformed."""
