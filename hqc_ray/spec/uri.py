"""Where results are mirrored, as a URI; and texts that everybody will see, which hold no credentials."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from hqc_ray import redaction
from hqc_ray.errors import SpecError, shown
from hqc_ray.spec import document

STORAGE_FORMS = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, file:///FOLDER, or the path of a mounted folder"


def no_credentials(text: str, where: str) -> str:
    """A text of a sweep file or an option of the command line, which are kept, shipped and shown as they are.

    Raises:
        SpecError: it holds a URL with credentials, which the message does not repeat.
    """
    if redaction.has_credentials(text):
        what = "a URL with a user, a password or a token in it, which everybody would see"
        raise SpecError(what, where=where, valid="a URL without them; ${NAME} in a sweep file; AWS_* in the environment")
    return text


def storage_uri(value: Any, where: str) -> str:
    """The URI of a sweep's storage, if its form is valid; ${NAME} is expanded later.

    Raises:
        SpecError: another form, or a URI with credentials, which the message does not repeat.
    """
    if not isinstance(value, str) or not value.strip() or len(value) > document.MAX_TEXT or not value.isprintable():
        raise SpecError(f"not a storage: {shown(value)}", where=where, valid=STORAGE_FORMS)
    try:
        parts = urlsplit(value)
    except ValueError as problem:  # of brackets; it may hold a secret
        raise SpecError("not a storage: brackets", where=where, valid=STORAGE_FORMS) from problem
    if redaction.has_credentials(value) or "@" in parts.netloc or parts.query or parts.fragment:
        raise SpecError(
            "a storage URI has no credentials and no options", where=where, valid=f"{STORAGE_FORMS}; AWS_* in the environment"
        )
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", value) and not _is_storage_uri(value):
        raise SpecError(f"not a storage: {shown(value)}", where=where, valid=STORAGE_FORMS)
    return value


def _is_storage_uri(value: str) -> bool:
    """Whether what begins as a URI is one of `STORAGE_FORMS`: a bucket without a port, or a folder of this machine."""
    bucket = re.match(r"(s3|gs)://[^/\[\]:\\]+(/|$)", value, re.IGNORECASE)
    return bool(bucket or re.match(r"file:///", value, re.IGNORECASE)) and ".." not in value.split("/")
