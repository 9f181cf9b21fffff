"""A gRPC client that knows nothing of unclip: it asks a server by reflection what it can do, and does it.

usage: foreign.py ADDRESS SERVICE PROMPT

Checks health and both reflection versions of the server at ADDRESS, which must serve SERVICE, calls SERVICE's unary
methods that take an empty message and, where there is GenerateImage, draws PROMPT. Prints one JSON object.
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SECONDS = 60
PNG = b"\x89PNG\r\n\x1a\n"


def health(channel, service):
    stub = health_pb2_grpc.HealthStub(channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def unknown_health(channel):
    try:
        return health(channel, "no.such.Service")
    except grpc.RpcError as error:
        return error.code().name


class Reflection:
    """Reflection of one version. The messages of v1 and v1alpha are the same on the wire, only the method differs."""

    def __init__(self, channel, version):
        self.call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )

    def ask(self, **question):
        request = reflection_pb2.ServerReflectionRequest(**question)
        return next(iter(self.call(iter([request]), timeout=SECONDS)))

    def services(self):
        answer = self.ask(list_services="")
        return sorted(service.name for service in answer.list_services_response.service)

    def pool(self, symbol):
        """A pool with the file that defines `symbol` and all that it imports."""
        files, wanted = {}, [self.files(file_containing_symbol=symbol)]
        while wanted:
            for file in wanted.pop():
                if file.name not in files:
                    files[file.name] = file
                    wanted += [self.files(file_by_filename=name) for name in file.dependency if name not in files]
        pool = descriptor_pool.DescriptorPool()
        done = set()

        def add(file):
            if file.name not in done:
                done.add(file.name)
                for name in file.dependency:
                    add(files[name])
                pool.Add(file)

        for file in list(files.values()):
            add(file)
        return pool

    def files(self, **question):
        answer = self.ask(**question)
        if answer.HasField("error_response"):
            raise SystemExit(f"reflection: {answer.error_response.error_message}")
        protos = answer.file_descriptor_response.file_descriptor_proto
        return [descriptor_pb2.FileDescriptorProto.FromString(proto) for proto in protos]


def call(channel, method, request):
    """All messages that a method answers with."""
    answer_class = message_factory.GetMessageClass(method.output_type)
    path = f"/{method.containing_service.full_name}/{method.name}"
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    stub = kind(
        path,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer_class.FromString,
    )
    answer = stub(request, timeout=SECONDS)
    return list(answer) if method.server_streaming else [answer]


def draw(channel, method, prompt):
    request = message_factory.GetMessageClass(method.input_type)()
    options = {"steps": 2}
    json_format.ParseDict(
        {"prompt": prompt, "n": 2, "seed": "7", "prior": options, "decoder": options, "upsampler": options}, request
    )
    messages = call(channel, method, request)
    images = [message.image for message in messages if message.WhichOneof("event") == "image"]
    return {
        "png": [image.image.startswith(PNG) for image in images],
        "seeds": sorted(image.receipt.seed for image in images),
        "width": images[0].width,
        "progress": sum(message.WhichOneof("event") == "progress" for message in messages),
    }


def explore(channel, reflection, service, prompt):
    found = {"services": reflection.services()}
    methods = reflection.pool(service).FindServiceByName(service).methods
    found["methods"] = sorted(method.name for method in methods)
    for method in methods:
        if method.name == "GenerateImage":
            found["drawn"] = draw(channel, method, prompt)
        elif not method.input_type.fields:
            request = message_factory.GetMessageClass(method.input_type)()
            found[method.name] = [json_format.MessageToDict(answer) for answer in call(channel, method, request)]
    return found


def well_known_client(channel, service):
    """grpcio's own reflection client, which speaks v1alpha alone."""
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    return sorted(method.name for method in pool.FindServiceByName(service).methods)


def main():
    address, service, prompt = sys.argv[1:]
    options = [("grpc.max_receive_message_length", 72 << 20)]
    with grpc.insecure_channel(address, options=options) as channel:
        found = {version: explore(channel, Reflection(channel, version), service, prompt) for version in ("v1", "v1alpha")}
        found["health"] = {name: health(channel, name) for name in ("", service, "readiness", "liveness")}
        found["unknown"] = unknown_health(channel)
        found["well_known_client"] = well_known_client(channel, service)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
