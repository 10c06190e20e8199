//! What is known of a method before its handler is reached: its class, and the message that it takes.

use std::{collections::HashMap, sync::Arc};

use prost::Message;
use prost_types::FileDescriptorSet;

use super::shapes::Shapes;

/// The budget from which a call gets its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Health, reflection and the feed: they tell whether the service lives, and keep others up to date.
    Vital,
    /// A unary call that only reads.
    Read,
    /// A unary call that writes.
    Write,
    /// A stream.
    Stream,
}

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Method {
    pub(super) class: Class,
    /// Its request among the shapes, if it is a method of the API.
    pub(super) input: Option<usize>,
}

/// Every method of the API by its path.
#[derive(Debug)]
pub(super) struct Methods {
    by_path: HashMap<String, Method>,
    shapes: Arc<Shapes>,
}

/// Methods that begin with one of these only read.
const READING: [&str; 5] = ["Get", "List", "Find", "Compare", "Verify"];

impl Methods {
    /// # Panics
    /// If the descriptors cannot be read: the build is broken.
    pub(super) fn of_the_api() -> Self {
        let files = FileDescriptorSet::decode(proto::v1::FILE_DESCRIPTOR_SET);
        let files = files.expect("the build publishes readable descriptors").file;
        let shapes = Shapes::of(&files);
        let mut by_path = HashMap::new();
        for file in &files {
            for service in &file.service {
                let service_name = format!("{}.{}", file.package(), service.name());
                for method in &service.method {
                    let class = match (service_name.as_str(), method.name()) {
                        ("tonghop.v1.FeedService", _) => Class::Vital,
                        _ if method.client_streaming() || method.server_streaming() => Class::Stream,
                        ("tonghop.v1.QueryService", _) => Class::Read,
                        (_, name) if READING.iter().any(|word| name.starts_with(word)) => Class::Read,
                        _ => Class::Write,
                    };
                    let method_of = Method { class, input: shapes.index_of(method.input_type()) };
                    by_path.insert(format!("/{service_name}/{}", method.name()), method_of);
                }
            }
        }
        Self { by_path, shapes: Arc::new(shapes) }
    }

    /// What is known of the method with that path.
    pub(super) fn of(&self, path: &str) -> Method {
        // What is no method of the API is health or reflection, or is refused without work.
        self.by_path.get(path).copied().unwrap_or(Method { class: Class::Vital, input: None })
    }

    pub(super) fn into_paths(self) -> Vec<String> {
        self.by_path.into_keys().collect()
    }

    pub(super) fn shapes(&self) -> Arc<Shapes> {
        self.shapes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_its_class() {
        let methods = Methods::of_the_api();
        for (path, class) in [
            ("/grpc.health.v1.Health/Check", Class::Vital),
            ("/tonghop.v1.FeedService/Follow", Class::Vital),
            ("/tonghop.v1.QueryService/GetShare", Class::Read),
            ("/tonghop.v1.QueryService/Rank", Class::Read),
            ("/tonghop.v1.QueryService/Watch", Class::Stream),
            ("/tonghop.v1.QueryService/Export", Class::Stream),
            ("/tonghop.v1.IngestService/GetReport", Class::Read),
            ("/tonghop.v1.IngestService/SubmitReport", Class::Write),
            ("/tonghop.v1.RegistryService/RegisterUnits", Class::Write),
            ("/tonghop.v1.RegistryService/DefineTerms", Class::Write),
        ] {
            assert_eq!(methods.of(path).class, class, "{path}");
        }
        let writes = methods.by_path.iter().filter(|(_, method)| method.class == Class::Write);
        let mut writes: Vec<&str> = writes.filter_map(|(path, _)| path.rsplit('/').next()).collect();
        writes.sort_unstable();
        let expected = [
            "DefineForms",
            "DefineIndicators",
            "DefineTerms",
            "RecordUnitEvents",
            "RegisterUnits",
            "SubmitReport",
            "WithdrawReport",
        ];
        assert_eq!(writes, expected, "a method that is new here reads or writes: say which");
        assert!(methods.by_path.values().all(|method| method.input.is_some()));
    }
}
