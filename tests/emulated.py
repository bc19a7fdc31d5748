"""Moto, made quick enough for a proof that asks it a million times. It answers the same: only what it does without need
at each call is left out."""

from __future__ import annotations

from typing import Any

import moto.core.responses
from botocore import UNSIGNED
from botocore.config import Config
from moto.core.serialize import AttributePickerContext, XFormedAttributePicker


class _ExactNames(XFormedAttributePicker):
    """Moto looks for a member under every name that its own code may give it. What it has for DynamoDB's answers are
    dictionaries that are spelled as AWS spells them."""

    def __call__(self, context: AttributePickerContext) -> Any:
        assert context.service_model is not None
        if type(context.obj) is dict and context.service_model.service_name == "dynamodb":
            return context.obj.get(context.key)
        return super().__call__(context)


def speed_up() -> None:
    """Call this before the first request to moto."""
    moto.core.responses.XFormedAttributePicker = _ExactNames  # type: ignore[attr-defined]


def fast_config(config: Config, service: str) -> Config:
    """The client's settings, without what an emulator in this process does not look at."""
    unsigned = Config(signature_version=UNSIGNED) if service in ("dynamodb", "sqs") else Config()
    return config.merge(Config(user_agent="tests")).merge(unsigned)
