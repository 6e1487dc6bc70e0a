"""A small web service with the stock OpenTelemetry SDK of Python, exporting to the default address.

GET /work calls NEXT, if that is set, and answers; ?fail=1 answers 500, ?slow=MS waits. Every request writes one log record.
"""
import os
import time

import requests
from flask import Flask, request
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
app = Flask(__name__)
FlaskInstrumentor().instrument_app(app)
RequestsInstrumentor().instrument()


@app.get("/work")
def work():
    time.sleep(int(request.args.get("slow", "0")) / 1000)
    following = os.environ.get("NEXT")
    if following:
        requests.get(following, timeout=10).raise_for_status()
    if request.args.get("fail"):
        return "failed", 500
    return format(trace.get_current_span().get_span_context().trace_id, "032x")


@app.post("/flush")
def flush():
    return "flushed" if provider.force_flush(20000) else ("not flushed", 503)


app.run(host="127.0.0.1", port=int(os.environ["PORT"]), threaded=True)
