//! What is published beside the `.proto` files is in step with them: the reference, made of their comments
//! (`TONGHOP_WRITE_PAGES=1` writes it), and the service config for clients.

use std::{collections::HashMap, env, fmt::Write, fs};

use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use tests::harness::workspace;

const REFERENCE: &str = "proto/REFERENCE.md";
const CONFIG: &str = "proto/service_config.json";

fn files() -> Vec<FileDescriptorProto> {
    let files = FileDescriptorSet::decode(proto::v1::FILE_DESCRIPTOR_SET).unwrap().file;
    files.into_iter().filter(|file| file.package() == "tonghop.v1").collect()
}

/// The comments of a file by the path of what they are about.
struct Comments(HashMap<Vec<i32>, String>);

impl Comments {
    fn of(file: &FileDescriptorProto) -> Self {
        let locations = &file.source_code_info.as_ref().expect("the set has comments").location;
        let comment = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned();
        Self(locations.iter().map(|at| (at.path.clone(), comment(at.leading_comments()))).collect())
    }

    /// As a cell of a table holds it.
    fn about(&self, path: &[i32]) -> String {
        let text = self.0.get(path).map(String::as_str).unwrap_or_default();
        assert!(!text.is_empty(), "{path:?} has no comment");
        text.replace('|', "\\|").replace('<', "&lt;")
    }
}

fn short(name: &str) -> &str {
    name.trim_start_matches('.').trim_start_matches("tonghop.v1.")
}

/// The type of a field as a reader of JSON meets it.
fn type_of(field: &FieldDescriptorProto, message: &DescriptorProto) -> String {
    let entry = message.nested_type.iter().find(|nested| {
        nested.options.as_ref().is_some_and(|options| options.map_entry())
            && field.type_name().ends_with(&format!(".{}", nested.name()))
    });
    if let Some(entry) = entry {
        return format!("map of {}", type_of(&entry.field[1], entry));
    }
    let name = match field.r#type() {
        Type::Message | Type::Enum => format!("`{}`", short(field.type_name())),
        other => other.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    match field.label() {
        Label::Repeated => format!("list of {name}"),
        _ if field.proto3_optional() => format!("{name}, may be absent"),
        _ => name,
    }
}

fn write_message(page: &mut String, comments: &Comments, path: &[i32], above: &str, message: &DescriptorProto) {
    if message.options.as_ref().is_some_and(|options| options.map_entry()) {
        return;
    }
    let name = if above.is_empty() { message.name().to_owned() } else { format!("{above}.{}", message.name()) };
    writeln!(page, "### {name}\n\n{}\n", comments.about(path)).unwrap();
    if !message.field.is_empty() {
        writeln!(page, "| field | type | |\n|---|---|---|").unwrap();
    }
    for (index, field) in (0..).zip(&message.field) {
        let about = comments.about(&[path, &[2, index]].concat());
        writeln!(page, "| `{}` | {} | {about} |", field.name(), type_of(field, message)).unwrap();
    }
    if !message.field.is_empty() {
        page.push('\n');
    }
    for (index, nested) in (0..).zip(&message.enum_type) {
        write_enum(page, comments, &[path, &[4, index]].concat(), &name, nested);
    }
    for (index, nested) in (0..).zip(&message.nested_type) {
        write_message(page, comments, &[path, &[3, index]].concat(), &name, nested);
    }
}

fn write_enum(page: &mut String, comments: &Comments, path: &[i32], above: &str, of: &EnumDescriptorProto) {
    writeln!(page, "### {above}.{}\n\n{}\n\n| value | |\n|---|---|", of.name(), comments.about(path)).unwrap();
    for (index, value) in (0..).zip(&of.value) {
        let about = comments.about(&[path, &[2, index]].concat());
        writeln!(page, "| `{}` = {} | {about} |", value.name(), value.number()).unwrap();
    }
    page.push('\n');
}

fn page() -> String {
    let mut page =
        "# Reference of the API\n\nMade of the comments in `tonghop/v1`; fields are named as in the `.proto` \
                    files. JSON writes them in\ncamelCase, and 64-bit integers as texts.\n\n"
            .to_owned();
    for file in files() {
        let comments = Comments::of(&file);
        for (number, service) in (0..).zip(&file.service) {
            writeln!(page, "## {}\n\n{}\n", service.name(), comments.about(&[6, number])).unwrap();
            writeln!(page, "| method | takes | answers | |\n|---|---|---|---|").unwrap();
            for (index, method) in (0..).zip(&service.method) {
                let side = |is_stream: bool, name: &str| {
                    format!("{}`{}`", if is_stream { "a stream of " } else { "" }, short(name))
                };
                let takes = side(method.client_streaming(), method.input_type());
                let answers = side(method.server_streaming(), method.output_type());
                let about = comments.about(&[6, number, 2, index]);
                writeln!(page, "| `{}` | {takes} | {answers} | {about} |", method.name()).unwrap();
            }
            page.push('\n');
        }
        if file.service.is_empty() {
            let name = file.name().rsplit('/').next().unwrap().trim_end_matches(".proto");
            writeln!(page, "## {name}\n").unwrap();
        }
        for (index, message) in (0..).zip(&file.message_type) {
            write_message(&mut page, &comments, &[4, index], "", message);
        }
    }
    page.trim_end().to_owned() + "\n"
}

#[test]
fn the_reference_says_what_the_comments_say() {
    let (path, page) = (workspace().join(REFERENCE), page());
    if env::var_os("TONGHOP_WRITE_PAGES").is_some_and(|value| value == "1") {
        fs::write(path, page).unwrap();
        return;
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "{REFERENCE} is out of step; TONGHOP_WRITE_PAGES=1 writes it");
}

#[test]
fn the_service_config_names_every_method_and_repeats_only_what_may_be() {
    let text = fs::read_to_string(workspace().join(CONFIG)).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut policies: HashMap<String, bool> = HashMap::new();
    for method_config in config["methodConfig"].as_array().unwrap() {
        let is_repeated = method_config.get("retryPolicy").is_some();
        for name in method_config["name"].as_array().unwrap() {
            let name = format!("{}/{}", name["service"].as_str().unwrap(), name["method"].as_str().unwrap());
            assert!(policies.insert(name.clone(), is_repeated).is_none(), "{name} twice");
        }
    }
    for file in files() {
        for service in &file.service {
            for method in &service.method {
                let name = format!("tonghop.v1.{}/{}", service.name(), method.name());
                let is_repeated = policies.remove(&name).unwrap_or_else(|| panic!("{CONFIG} lacks {name}"));
                // A stream goes on where it was, which only its caller knows.
                let is_stream = method.client_streaming() || method.server_streaming();
                assert_eq!(is_repeated, !is_stream, "{name}");
            }
        }
    }
    assert!(policies.is_empty(), "there are no such methods: {policies:?}");
}
