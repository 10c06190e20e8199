//! What a message would take in memory, told from its bytes.
//!
//! An empty part of a message is two bytes on the wire and some hundred in memory. So parts are counted before anything is
//! decoded, along the descriptors of the API, with nothing kept of what is read.

use std::collections::HashMap;

use prost_types::{
    DescriptorProto, FileDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

/// As deep as messages are decoded.
const DEPTH_MAX: usize = 100;

/// Which fields of each message are parts.
#[derive(Debug)]
pub(super) struct Shapes {
    by_name: HashMap<String, usize>,
    shapes: Vec<Shape>,
}

#[derive(Debug, Default)]
struct Shape {
    /// By field number, sorted.
    fields: Vec<(u64, Field)>,
    /// Entries of maps: those without content are one and the same.
    is_map_entry: bool,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    /// A message of that shape.
    Message(usize),
    /// One of many texts.
    Text,
}

impl Shapes {
    /// The shapes of all messages in these files.
    pub(super) fn of(files: &[FileDescriptorProto]) -> Self {
        let mut messages: Vec<(String, &DescriptorProto)> = Vec::new();
        for file in files {
            let mut open: Vec<(String, &DescriptorProto)> =
                file.message_type.iter().map(|message| (format!(".{}", file.package()), message)).collect();
            while let Some((parent, message)) = open.pop() {
                let name = format!("{parent}.{}", message.name());
                open.extend(message.nested_type.iter().map(|nested| (name.clone(), nested)));
                messages.push((name, message));
            }
        }
        let by_name: HashMap<String, usize> =
            messages.iter().enumerate().map(|(index, (name, _))| (name.clone(), index)).collect();
        let shape = |(_, message): &(String, &DescriptorProto)| {
            let mut fields: Vec<(u64, Field)> = Vec::new();
            for field in &message.field {
                let kind = match field.r#type() {
                    Type::Message => by_name.get(field.type_name()).copied().map(Field::Message),
                    Type::String | Type::Bytes if field.label() == Label::Repeated => Some(Field::Text),
                    _ => None,
                };
                fields.extend(kind.map(|kind| (u64::try_from(field.number()).unwrap_or(0), kind)));
            }
            fields.sort_unstable_by_key(|(number, _)| *number);
            let is_map_entry = message.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry);
            Shape { fields, is_map_entry }
        };
        let shapes = messages.iter().map(shape).collect();
        Self { by_name, shapes }
    }

    /// The number of the message with that full name, which begins with a dot.
    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// How many parts a message of that shape has. Bytes that are no message are counted up to where they stop being one;
    /// whoever decodes them refuses them.
    pub(super) fn parts(&self, shape: usize, message: &[u8]) -> usize {
        let mut parts = 0;
        // Nothing is to be done about bytes that are no message.
        let _ = self.count(shape, message, DEPTH_MAX, &mut parts);
        parts
    }

    fn count(&self, shape: usize, mut bytes: &[u8], depth_left: usize, parts: &mut usize) -> Option<()> {
        let depth_left = depth_left.checked_sub(1)?;
        let shape = self.shapes.get(shape)?;
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let skipped = match tag & 7 {
                0 => {
                    varint(&mut bytes)?;
                    continue;
                }
                1 => 8,
                2 => usize::try_from(varint(&mut bytes)?).ok()?,
                5 => 4,
                // Groups, which the API does not have.
                _ => return None,
            };
            let (content, rest) = bytes.split_at_checked(skipped)?;
            bytes = rest;
            let Ok(found) = shape.fields.binary_search_by_key(&(tag >> 3), |(number, _)| *number) else { continue };
            match shape.fields.get(found)?.1 {
                Field::Text => *parts += 1,
                Field::Message(inner) => {
                    *parts += usize::from(!self.shapes.get(inner)?.is_map_entry);
                    self.count(inner, content, depth_left, parts)?;
                }
            }
        }
        Some(())
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::v1::{Observation, RegisterUnitsRequest, Report, SubmitReportRequest, Unit, observation::Value};

    use super::*;

    fn parts<M: Message>(name: &str, message: &M) -> usize {
        let files = prost_types::FileDescriptorSet::decode(proto::v1::FILE_DESCRIPTOR_SET).unwrap().file;
        let shapes = Shapes::of(&files);
        shapes.parts(shapes.index_of(name).unwrap(), &message.encode_to_vec())
    }

    #[test]
    fn messages_within_messages_are_parts_and_entries_of_maps_are_not() {
        let unit = Unit { attributes: [("terrain".into(), "delta".into())].into(), ..Default::default() };
        let units = RegisterUnitsRequest { units: vec![unit; 3], ..Default::default() };
        assert_eq!(parts(".tonghop.v1.RegisterUnitsRequest", &units), 3);
        let observations =
            vec![Observation::default(), Observation { value: Some(Value::Flag(true)), ..Default::default() }];
        let report = Report { observations, ..Default::default() };
        let submit = SubmitReportRequest { report: Some(report), ..Default::default() };
        assert_eq!(parts(".tonghop.v1.SubmitReportRequest", &submit), 3);
    }

    #[test]
    fn bytes_that_are_no_message_do_no_harm() {
        let files = prost_types::FileDescriptorSet::decode(proto::v1::FILE_DESCRIPTOR_SET).unwrap().file;
        let shapes = Shapes::of(&files);
        let shape = shapes.index_of(".tonghop.v1.RegisterUnitsRequest").unwrap();
        for bytes in [&[0xff; 20][..], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0x0b], &[0x0a], &[0x09, 0]] {
            shapes.parts(shape, bytes);
        }
    }
}
