//! Generated code of the `tonghop.v1` API; the `.proto` files beside this crate are its source and its reference.

/// Messages, clients and servers of package `tonghop.v1`.
pub mod v1 {
    tonic::include_proto!("tonghop.v1");

    /// Every file of the API with its imports and comments, as an encoded `google.protobuf.FileDescriptorSet`.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tonghop.v1.descriptor.bin"));
}
