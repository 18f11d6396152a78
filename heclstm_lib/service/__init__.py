"""The evaluation over HTTP: public bundles and requests in, responses out, no secret anywhere."""
