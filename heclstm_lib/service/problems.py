"""Errors as the service answers them: a status, and {"error": {"code", "message"}}."""

from __future__ import annotations

import logging
import secrets

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from heclstm_lib.errors import HeclstmError, SecretError, ServiceError

log = logging.getLogger("heclstm.service")


def add_handlers(app: FastAPI) -> None:
    """Have every error of an app answered in the service's form."""
    app.add_exception_handler(HeclstmError, _refused)
    app.add_exception_handler(HTTPException, _no_such_address)
    app.add_exception_handler(RequestValidationError, _no_such_address)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _internal)


def problem(status: int, code: str, message: str, retry_s: int | None = None) -> JSONResponse:
    """The answer to a request that is refused; the connection ends, since a body may follow."""
    headers = {"Connection": "close"} | ({} if retry_s is None else {"Retry-After": str(retry_s)})
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, ServiceError):
        answer = problem(error.status or 500, error.code, str(error), error.retry_s)
    else:
        code = "secret_refused" if isinstance(error, SecretError) else "not_acceptable"
        answer = problem(422, code, str(error))
    owner = getattr(request.state, "owner", "?")
    log.info("%s %s: %d %s", owner, request.method, answer.status_code, type(error).__name__)
    return answer


async def _no_such_address(_request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 404
    code = {404: "unknown", 405: "method"}.get(status, "http")
    return problem(status, code, "no such address or method; see docs/service.md.")


async def _gone(_request: Request, _error: Exception) -> Response:
    log.info("a client went away in the middle of its body")
    return Response(status_code=400)


async def _internal(_request: Request, error: Exception) -> JSONResponse:
    number = secrets.token_hex(4)
    log.error("internal error %s: %s", number, type(error).__name__)
    return problem(
        500, "internal", f"internal error {number}; nothing was changed. The operator's log has it."
    )
