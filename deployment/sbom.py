"""The bill of materials of a package: CycloneDX 1.6, as JSON. It has no time and no random id, so that the same package
has the same one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from email.message import Message
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from deployment.dependencies import Wheel

NAME = "fetch-queue"


def of(wheels: Sequence[Wheel], digest: str) -> str:
    """The bill of a package of our code and these wheels' files, whose content has this sha-256."""
    service = Component(name=NAME, version=digest, type=ComponentType.APPLICATION, bom_ref=NAME)
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"sha256:{digest}"), components=map(_component, wheels))
    bom.metadata.component = service
    bom.register_dependency(service, bom.components)
    bill = json.loads(JsonV1Dot6(bom).output_as_string())
    del bill["metadata"]["timestamp"]  # the library gives none up, the standard asks for none
    return json.dumps(bill, indent=1, sort_keys=True) + "\n"


def _component(wheel: Wheel) -> Component:
    url = PackageURL("pypi", name=wheel.name, version=wheel.version)
    return Component(
        name=wheel.name,
        version=wheel.version,
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=str(url),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.sha256)],
        licenses=_licences(wheel.metadata),
    )


def _licences(metadata: Message) -> Iterable[License]:
    """What a package says of its licence, the most exact first: an SPDX expression, its classifiers, free text."""
    factory = LicenseFactory()
    stated = [value for field in ("License-Expression", "License") if (value := metadata.get(field))]
    for each in map(factory.make_from_string, stated):
        if not (isinstance(each, DisjunctiveLicense) and each.name):  # SPDX knows it
            return [each]
    named = [value.rpartition(" :: ")[2] for value in metadata.get_all("Classifier", []) if value.startswith("License")]
    return [factory.make_with_name(name) for name in named or stated]
