"""Caffe's protobuf messages and enums, the same as in protoc's own caffe_pb2.

They are built from the compiled schema beside this file, with protobuf's public interface alone. The
schema, caffe.desc, is made from caffe.proto by ``make proto``. Modules that protoc generates need a
certain range of protobuf versions. This module has to import under all versions that users have.
"""

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper


def _load() -> None:
    schema = descriptor_pb2.FileDescriptorSet.FromString(Path(__file__).with_name("caffe.desc").read_bytes())
    pool = descriptor_pool.Default()
    (file,) = schema.file
    pool.Add(file)
    descriptor = pool.FindFileByName(file.name)
    scope = globals()
    scope["DESCRIPTOR"] = descriptor
    for name, message in descriptor.message_types_by_name.items():
        scope[name] = message_factory.GetMessageClass(message)
    for name, enum in descriptor.enum_types_by_name.items():
        scope[name] = EnumTypeWrapper(enum)
        scope.update((value.name, value.number) for value in enum.values)


_load()
