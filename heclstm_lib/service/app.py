"""The addresses of the service; `docs/service.md` has them as a table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from heclstm_lib import __version__
from heclstm_lib.errors import ServiceError
from heclstm_lib.he.header import versions
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.signature import Signature
from heclstm_lib.service.dispatcher import Dispatcher
from heclstm_lib.service.intake import Body, Intake
from heclstm_lib.service.options import ServiceOptions
from heclstm_lib.service.problems import add_handlers
from heclstm_lib.service.records import Bundle, Job
from heclstm_lib.service.sizes import bundle_sizes, request_sizes
from heclstm_lib.service.store import Store
from heclstm_lib.service.tokens import Tokens

DIGITS = 18
"""Of a Content-Length, as many as matter."""

router = APIRouter(prefix="/v1")


def make_app(
    plan: Plan, signature: Signature, store: Store, tokens: Tokens, options: ServiceOptions
) -> FastAPI:
    """The application over an open store; it starts its workers with its first breath."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        queue = Dispatcher(store, options)
        app.state.intake = Intake(plan, store, queue, options)
        await queue.start()
        try:
            yield
        finally:
            await queue.close()
            store.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.tokens = tokens
    app.state.plan = {
        "digest": plan.digest,
        "versions": versions(),
        "operations": len(plan.ops),
        "signature": asdict(signature),
        "bundle_bytes": asdict(bundle_sizes(plan)),
        "request_bytes": asdict(request_sizes(plan)),
    }
    app.include_router(router)
    add_handlers(app)
    return app


def _owner(request: Request) -> str:
    """The hospital whose token came along."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    owner = request.app.state.tokens.owner(token.strip()) if scheme.lower() == "bearer" else None
    if owner is None:
        raise ServiceError(
            "the token is missing or unknown. Send the header Authorization: Bearer TOKEN.",
            401, "unauthorised",
        )  # fmt: skip
    request.state.owner = owner
    return str(owner)


def _intake(request: Request) -> Intake:
    intake: Intake = request.app.state.intake
    return intake


def _body(request: Request) -> Body:
    """The body of a request, not read yet (uvicorn refuses a Content-Length that is no number)."""
    announced = request.headers.get("content-length", "")[:DIGITS]
    stream = (block async for block in request.stream())
    return Body(stream, int(announced) if announced else None)


Owner = Annotated[str, Depends(_owner)]
Desk = Annotated[Intake, Depends(_intake)]
Upload = Annotated[Body, Depends(_body)]


@router.get("/health")
async def get_health() -> dict[str, str]:
    """Alive, without token; says nothing of hospitals or jobs."""
    return {"status": "ok", "version": __version__}


@router.get("/plan")
async def get_plan(request: Request, _: Owner) -> dict[str, Any]:
    """Signature of the plan, its digest, and the sizes that messages may have."""
    plan: dict[str, Any] = request.app.state.plan
    return plan


@router.post("/bundles")
async def post_bundle(owner: Owner, desk: Desk, body: Upload) -> JSONResponse:
    """Register a public bundle: 202, or 200 for one that is there already."""
    record, new = await desk.register(owner, body)
    return JSONResponse(desk.shown(record), 202 if new else 200)


@router.get("/bundles")
async def get_bundles(owner: Owner, desk: Desk) -> list[dict[str, Any]]:
    """All bundles of the hospital."""
    return desk.owned(Bundle, owner)


@router.get("/bundles/{digest}")
async def get_bundle(digest: str, owner: Owner, desk: Desk) -> dict[str, Any]:
    """State of a bundle: checking, ready, or refused and why."""
    return desk.shown(desk.find(Bundle, owner, digest))


@router.delete("/bundles/{digest}")
async def delete_bundle(digest: str, owner: Owner, desk: Desk) -> Response:
    """Delete a bundle with its jobs and results."""
    await desk.remove(desk.find(Bundle, owner, digest))
    return Response(status_code=204)


@router.post("/bundles/{digest}/sequences")
async def post_sequences(digest: str, owner: Owner, desk: Desk, body: Upload) -> JSONResponse:
    """Submit a request: 202, or 200 for one that is there already."""
    record, new = await desk.submit(owner, digest, body)
    return JSONResponse(desk.shown(record), 202 if new else 200)


@router.get("/jobs")
async def get_jobs(owner: Owner, desk: Desk) -> list[dict[str, Any]]:
    """All jobs of the hospital."""
    return desk.owned(Job, owner)


@router.get("/jobs/{name}")
async def get_job(name: str, owner: Owner, desk: Desk) -> dict[str, Any]:
    """State and progress of a job."""
    return desk.shown(desk.find(Job, owner, name))


@router.get("/jobs/{name}/result")
async def get_result(name: str, owner: Owner, desk: Desk) -> FileResponse:
    """The response file of a job that is done."""
    path = desk.result(desk.find(Job, owner, name))
    return FileResponse(path, media_type="application/octet-stream")


@router.delete("/jobs/{name}")
async def delete_job(name: str, owner: Owner, desk: Desk) -> Response:
    """Delete a job and its result; stop it if it runs."""
    await desk.remove(desk.find(Job, owner, name))
    return Response(status_code=204)
