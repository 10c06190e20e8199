//! Messages as JSON, as grpcurl and other people's programs write them.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};
use tonic::{
    Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

/// The published descriptors.
pub static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(proto::v1::FILE_DESCRIPTOR_SET).expect("the build publishes readable descriptors")
});

fn descriptor(name: &str) -> MessageDescriptor {
    DESCRIPTORS.get_message_by_name(name).unwrap_or_else(|| panic!("there is no message {name}"))
}

/// Reads a message of that full name from JSON. Unknown fields are refused, as grpcurl refuses them.
///
/// # Errors
/// What is wrong with it.
pub fn read<M: Message + Default>(name: &str, json: &serde_json::Value) -> Result<M, String> {
    let dynamic = DynamicMessage::deserialize(descriptor(name), json).map_err(|error| error.to_string())?;
    dynamic.transcode_to().map_err(|error| error.to_string())
}

/// Writes a message of that full name as JSON with the names of the contract.
///
/// # Panics
/// If the message is not of that name.
pub fn write<M: Message>(name: &str, message: &M) -> serde_json::Value {
    let mut dynamic = DynamicMessage::new(descriptor(name));
    dynamic.transcode_from(message).expect("the message has this name");
    to_json(&dynamic, true)
}

fn to_json(message: &DynamicMessage, proto_names: bool) -> serde_json::Value {
    let options = SerializeOptions::new().use_proto_field_name(proto_names);
    message.serialize_with_options(serde_json::value::Serializer, &options).expect("a message can be written as JSON")
}

/// Calls a unary method by its name, as grpcurl does; the answer has the names that grpcurl prints.
///
/// # Errors
/// The status of the answer.
///
/// # Panics
/// If there is no such method, or the request is none of its requests.
pub async fn call(channel: Channel, method: &str, request: &serde_json::Value) -> Result<serde_json::Value, Status> {
    let (service, name) = method.split_once('/').unwrap_or_else(|| panic!("{method} is no service/method"));
    let service = DESCRIPTORS.get_service_by_name(service).unwrap_or_else(|| panic!("there is no service {service}"));
    let found = service.methods().find(|method| method.name() == name);
    let found = found.unwrap_or_else(|| panic!("there is no method {method}"));
    let request = DynamicMessage::deserialize(found.input(), request)
        .unwrap_or_else(|error| panic!("{request} is no request of {method}: {error}"));
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = format!("/{method}").parse().expect("a method's name is a path");
    let answer = client.unary(Request::new(request), path, DynamicCodec(found)).await?;
    Ok(to_json(answer.get_ref(), false))
}

struct DynamicCodec(MethodDescriptor);

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(self.0.clone())
    }

    fn decoder(&mut self) -> Self {
        Self(self.0.clone())
    }
}

impl Encoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.output(), buffer);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
