"""Message classes of a published .proto file, made by the protobuf library from descriptors of its text.

Knows what our schema uses: proto3, one package, messages and enums not nested, single and repeated fields. Shares no code
with any server that encodes.
"""

from __future__ import annotations

import re
from importlib.resources import files

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

TYPES = {
    name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in (
        "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32",
        "sfixed64", "bool", "string", "bytes",
    )
}  # fmt: skip
BLOCK = re.compile(r"(message|enum)\s+(\w+)\s*\{([^}]*)\}")
FIELD = re.compile(r"(repeated\s+)?([\w.]+)\s+(\w+)\s*=\s*(\d+)\s*;")
VALUE = re.compile(r"(\w+)\s*=\s*(\d+)\s*;")


def published() -> str:
    """The text of the schema that the reference exchange publishes."""
    return (files("matchmark.reference.market_data") / "market_data.proto").read_text(encoding="utf-8")


def descriptors(text: str) -> descriptor_pb2.FileDescriptorProto:
    """ValueError: it uses more of the language than this reads."""
    text = re.sub(r"//[^\n]*", "", text)
    package = re.search(r"\bpackage\s+([\w.]+)\s*;", text)
    made = descriptor_pb2.FileDescriptorProto(
        name="published.proto", package=package[1] if package else "", syntax="proto3"
    )
    enums = {name for kind, name, _ in BLOCK.findall(text) if kind == "enum"}
    for kind, name, body in BLOCK.findall(text):
        if kind == "enum":
            enum = made.enum_type.add(name=name)
            for value, number in VALUE.findall(body):
                enum.value.add(name=value, number=int(number))
            continue
        if left := FIELD.sub("", body).strip():
            raise ValueError(f"message {name} of the schema: cannot read {left.splitlines()[0]!r}")
        message = made.message_type.add(name=name)
        for repeated, kind_of, field, number in FIELD.findall(body):
            added = message.field.add(name=field, number=int(number), label=3 if repeated else 1)
            if kind_of in TYPES:
                added.type = TYPES[kind_of]
                continue
            added.type = added.TYPE_ENUM if kind_of in enums else added.TYPE_MESSAGE
            added.type_name = f".{made.package}.{kind_of}"
    return made


def message_classes(text: str) -> dict[str, type[Message]]:
    """By the messages' names, from a pool of their own: a process may have the same schema from elsewhere."""
    pool = descriptor_pool.DescriptorPool()
    made = descriptors(text)
    pool.Add(made)
    return {
        m.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{made.package}.{m.name}"))
        for m in made.message_type
    }
