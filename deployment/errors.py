"""The error that ends a deployment command: a sentence for the person who typed it."""


class DeploymentError(Exception):
    """Something that is needed is missing, or was refused; the text is one line and says what to do."""
