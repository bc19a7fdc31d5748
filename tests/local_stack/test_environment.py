"""A person's own configuration never reaches the stack's processes."""

from __future__ import annotations

import os
import socket

import pytest

from local_stack import environment, sockets
from local_stack.errors import StackError
from local_stack.stack import KNOWN, Options


def test_nothing_of_a_persons_aws_is_left() -> None:
    """Profiles, tokens and endpoints of single services go; the emulator's own come."""
    hostile = {
        "AWS_PROFILE": "nobody",
        "AWS_DEFAULT_PROFILE": "nobody",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ENDPOINT_URL_DYNAMODB": "https://dynamodb.us-east-1.amazonaws.com",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_REGION": "eu-west-1",
        "AWS_CONFIG_FILE": "/home/somebody/.aws/config",
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
        "FUNCTION_ROLE": "api",
        "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/real",
        "STAGE": "prod",
        "WINDOW_SECONDS": "4",
    }
    made = environment.scrubbed(hostile, "http://127.0.0.1:4566")
    assert {name: value for name, value in made.items() if name.startswith("AWS_")} == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    assert (made["STAGE"], made["WINDOW_SECONDS"]) == ("dev", "4")
    assert "FUNCTION_ROLE" not in made
    assert "QUEUE_URL" not in made


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "example.com"}, "example.com,127.0.0.1,localhost"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, "a,127.0.0.1,localhost"),
    ],
)
def test_no_proxy_between_processes(given: dict[str, str], expected: str) -> None:
    """Loopback bypasses any proxy, and what a person lets bypass it still does."""
    made = environment.scrubbed({"http_proxy": "http://proxy:1", **given}, "http://127.0.0.1:4566")
    assert made["no_proxy"] == made["NO_PROXY"] == expected


def test_the_stacks_own_options() -> None:
    """Everything has a default, and an empty variable counts as unset."""
    assert Options.from_environment({}) == Options(port=8000, emulator_port=4566, site_port=None, workers=2)
    given = {"PORT": "9000", "EMULATOR_PORT": "0", "SITE_PORT": "9001", "WORKERS": "0"}
    assert Options.from_environment(given) == Options(port=9000, emulator_port=0, site_port=9001, workers=0)
    assert Options.from_environment({"PORT": ""}).port == 8000


@pytest.mark.parametrize("text", ["70000", "-1", "8k", "٣", "8000 "])
def test_an_option_that_is_no_number(text: str) -> None:
    """One line says which and why."""
    with pytest.raises(StackError, match="PORT must be a whole number up to 65535"):
        Options.from_environment({"PORT": text})


def test_a_taken_port() -> None:
    """The line names the port and a command that chooses another."""
    with sockets.listen(0, "PORT") as taken:
        port = sockets.port_of(taken)
        with pytest.raises(StackError, match=rf"^port {port} is taken; choose another: make run PORT=\d+$"):
            sockets.free_port(port, "PORT")


def test_sockets_are_on_loopback_only() -> None:
    """Nothing of the stack listens where another machine could reach it."""
    with sockets.listen(0, "PORT") as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        assert listener.family == socket.AF_INET
        assert sockets.url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("s -- PORT=9000 WINDOW_SECOND=60", "there is no setting WINDOW_SECOND; did you mean WINDOW_SECONDS?"),
        (" -- port=9000", "there is no setting port; did you mean PORT?"),
        ("PROT=1", "there is no setting PROT; did you mean PORT?"),
    ],
)
def test_a_misspelt_setting_does_not_pass_in_silence(flags: str, sentence: str) -> None:
    """It was typed after make run, and would change nothing."""
    with pytest.raises(StackError) as caught:
        environment.refuse_misspelt(flags, KNOWN)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "rR",
        "w -- ALLOWED_ORIGINS=http://a.example,\\ PROT=http://b PORT=1 LOG=0",
        "PIP_INDEX_URL=x HTTPS_PROXY=y SHELL=z PYTHON=p",
    ],
)
def test_whatever_else_make_says_is_no_setting(flags: str) -> None:
    """Its own flags, and what is inside a value."""
    environment.refuse_misspelt(flags, KNOWN)
