"""Prints the spans that arrive by OTLP over gRPC: trace, service and name. Needs opentelemetry-proto and grpcio."""

import sys
from concurrent import futures

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as services


class Collector(services.TraceServiceServicer):
    def Export(self, request, context):
        for resource in request.resource_spans:
            named = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                print(span.trace_id.hex(), named.get("service.name"), span.name, flush=True)
        return messages.ExportTraceServiceResponse()


server = grpc.server(futures.ThreadPoolExecutor())
services.add_TraceServiceServicer_to_server(Collector(), server)
server.add_insecure_port(sys.argv[1])
server.start()
server.wait_for_termination()
