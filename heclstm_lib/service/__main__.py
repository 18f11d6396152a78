"""`python -m heclstm_lib.service`: serve a plan; what `heclstm serve` becomes.

A process of its own, so that nothing of the client's side is ever loaded into it.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

import uvicorn

from heclstm_lib.errors import HeclstmError, PlanError, ServiceError
from heclstm_lib.he.check import verify_plan
from heclstm_lib.he.flooding import check_flooding
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.signature import Signature
from heclstm_lib.he.store import load_plan, load_signature
from heclstm_lib.service.app import make_app
from heclstm_lib.service.options import ServiceOptions, add_arguments, from_arguments
from heclstm_lib.service.store import Store
from heclstm_lib.service.tokens import load_tokens

GRACE_S = 10
"""How long open requests may take to end when the service is stopped."""

log = logging.getLogger("heclstm.service")


def serve(options: ServiceOptions) -> None:
    """Serve until stopped (SIGTERM or Ctrl-C). Raises ServiceError or PlanError before that."""
    tokens = load_tokens(options.tokens)
    plan = load_plan(options.plan)
    verify_plan(plan, key_budget_bytes=options.memory_mb << 20)
    if plan.refreshes:
        raise PlanError(
            f"{options.plan.name}: this plan has its state re-encrypted by the client "
            f"{len(plan.refreshes)} time(s) a request, which the service does not do. Plan without "
            "refresh."
        )
    if options.flood_bits is not None:
        check_flooding(plan, options.flood_bits)
    signature = _signature(options, plan)
    store = Store(options.state, plan.digest)
    if options.host not in ("127.0.0.1", "::1", "localhost"):
        log.warning("tokens cross in clear on %s unless a proxy adds TLS", options.host)
    app = make_app(plan, signature, store, tokens, options)
    uvicorn.run(
        app, host=options.host, port=options.port, log_config=None, http="h11", ws="none",
        limit_concurrency=options.connections, server_header=False, lifespan="on",
        timeout_graceful_shutdown=GRACE_S, access_log=False,
    )  # fmt: skip


def _signature(options: ServiceOptions, plan: Plan) -> Signature:
    """The signature beside the plan, which knows the calibrated range too, else the plan's own."""
    path = options.plan.with_name("signature.json")
    if not path.is_file():
        return plan.signature
    signature = load_signature(path)
    if signature.digest != plan.digest:
        raise ServiceError(
            f"{path}: of plan {signature.digest[:12]}, but {options.plan.name} is plan "
            f"{plan.digest[:12]}. Write both anew: heclstm plan --out."
        )
    return signature


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments and serve; exit code 0, 2 for an error."""
    parser = argparse.ArgumentParser(prog="heclstm serve", description=__doc__)
    add_arguments(parser)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        serve(from_arguments(parser.parse_args(arguments)))
    except HeclstmError as error:
        print(f"heclstm serve: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
