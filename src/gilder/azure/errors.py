"""azure-core's exceptions as gilder's: one function at the edge, so that nobody else knows azure-core."""

from __future__ import annotations

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from gilder.azure.answers import retry_after
from gilder.azure.api_versions import LEAST, REFUSALS
from gilder.azure.forbidden import denied
from gilder.model.errors import CloudError, Conflict, Denied, NotFound, Throttled, Unreachable

_TOO_OLD = (
    f"gilder needs api-version {LEAST} or newer of Microsoft.Compute; what this cloud and region have: "
    "az provider show --namespace Microsoft.Compute"
)
_NEVER = (501, 505)
"""What a service answers that does not know the call or the protocol. Repeated, it cost five minutes for the same answer."""
_PARENT_MISSING = {"ResourceGroupNotFound", "ParentResourceNotFound"}


def cloud_error(error: AzureError, doing: str) -> CloudError:
    """The error of one request as gilder tells it; `doing` completes "while …"."""
    if isinstance(error, DecodeError) and (error.status_code or 0) < 400:
        return unreadable(doing, error)
    if isinstance(error, HttpResponseError) and error.status_code:
        return _refusal(error, doing)
    if isinstance(error, ClientAuthenticationError):
        return Denied(
            f"no token while {doing}: {_first_line(error.message)}",
            hint="check the identity that the template names",
        )
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return Unreachable(
            f"no answer while {doing}: {_first_line(error.message)}",
            hint="check the network and the endpoint",
        )
    return CloudError(f"failed while {doing}: {_first_line(error.message)}")


def unreadable(doing: str, error: Exception) -> Unreachable:
    """The error of an answer that is none of Azure's: whether the request took effect is unknown."""
    return Unreachable(
        f"an answer that cannot be read while {doing}: {_first_line(str(error))}",
        hint="a proxy may answer in the place of Azure",
    )


def _refusal(error: HttpResponseError, doing: str) -> CloudError:
    status = error.status_code or 0
    code, message = _code_and_message(error)
    text = f"{message} ({code or 'no code'}, HTTP {status}, while {doing})"
    if status == 429:
        others = "another client may be using up this VM's or subscription's budget"
        throttled = Throttled(text, code=code, status=status, hint=others)
        throttled.retry_after = retry_after(error)
        return throttled
    if status in (401, 403):
        return denied(code, message, status, getattr(error.response, "headers", {}), doing)
    if code in REFUSALS:  # a 404 among them: of a thing that is there all the same
        told = f"{message.partition(' The supported')[0]} ({code}, while {doing})"
        return CloudError(told, code=code, status=status, hint=_TOO_OLD)
    if code == "SubscriptionNotFound":  # of what is in there it says nothing: that must not count as gone
        unseen = "correct subscription_id, and check that the identity's tenant has it"
        return CloudError(text, code=code, status=status, hint=unseen)
    if status == 404:
        hint = "create it first, or correct the name" if code in _PARENT_MISSING else None
        return NotFound(text, code=code, status=status, hint=hint)
    if status in (409, 412):
        return Conflict(text, code=code, status=status)
    if (status >= 500 and status not in _NEVER) or status == 408:
        return Unreachable(text, code=code, status=status)
    hint = "correct subscription_id" if code == "InvalidSubscriptionId" else None
    return CloudError(text, code=code, status=status, hint=hint)


def _code_and_message(error: HttpResponseError) -> tuple[str, str]:
    model = error.error
    if model is not None and getattr(model, "code", None):
        return str(model.code), _first_line(str(model.message or ""))
    return "", _first_line(error.message)


def _first_line(text: str | None) -> str:
    return next((line.strip() for line in (text or "").splitlines() if line.strip()), "no reason given")
