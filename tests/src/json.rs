//! Messages as JSON, as grpcurl and other people's programs write them.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic::{
    Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

/// The published descriptors.
pub static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool =
        DescriptorPool::decode(proto::v1::FILE_DESCRIPTOR_SET).expect("the build publishes readable descriptors");
    // The details of refusals. What the API itself uses of that package is there already, under the name that Google gives
    // the file.
    let errors = FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).expect("they are published too");
    let is_new = |file: &FileDescriptorProto| !file.name().ends_with("status.proto");
    pool.add_file_descriptor_protos(errors.file.into_iter().filter(is_new)).expect("they fit");
    pool
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
    let mut answers = call_all(channel, method, std::slice::from_ref(request)).await?;
    answers.pop().ok_or_else(|| Status::internal("no answer"))
}

/// Calls a method by its name with every message that it is sent, as grpcurl does; answers every message that it answers.
///
/// # Errors
/// The status at the end, if it is one of a refusal.
///
/// # Panics
/// If there is no such method, or a message is none of its requests.
pub async fn call_all(
    channel: Channel,
    method: &str,
    requests: &[serde_json::Value],
) -> Result<Vec<serde_json::Value>, Status> {
    let (service, name) = method.split_once('/').unwrap_or_else(|| panic!("{method} is no service/method"));
    let service = DESCRIPTORS.get_service_by_name(service).unwrap_or_else(|| panic!("there is no service {service}"));
    let found = service.methods().find(|method| method.name() == name);
    let found = found.unwrap_or_else(|| panic!("there is no method {method}"));
    let read = |request: &serde_json::Value| {
        DynamicMessage::deserialize(found.input(), request)
            .unwrap_or_else(|error| panic!("{request} is no request of {method}: {error}"))
    };
    let requests: Vec<DynamicMessage> = requests.iter().map(read).collect();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = format!("/{method}").parse().expect("a method's name is a path");
    let request = Request::new(tokio_stream::iter(requests));
    let mut answers = client.streaming(request, path, DynamicCodec(found)).await?.into_inner();
    let mut all = Vec::new();
    while let Some(answer) = answers.message().await? {
        all.push(to_json(&answer, false));
    }
    Ok(all)
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
