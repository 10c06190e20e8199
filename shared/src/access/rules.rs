//! Who may make which call. What is not in this table, nobody may.

use std::collections::HashMap;

use prost::Message;
use prost_types::FileDescriptorSet;

use crate::model::access::{Caller, Role};

use Role::{Admin, Analyst, Replica, Reporter, Reviewer};

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Whoever has one of these roles, for the units of his scope.
    Any(&'static [Role]),
    /// Whoever has one of these roles and sees everything: the call is about all units at once.
    Whole(&'static [Role]),
}

/// The table: service, methods, and who may call them.
const TABLE: [(&str, &[&str], Who); 7] = [
    (
        "RegistryService",
        &[
            "GetUnit",
            "ListUnits",
            "FindUnits",
            "ListUnitEvents",
            "ListSuccession",
            "ListHierarchy",
            "ListTerms",
            "ListForms",
            "GetIndicator",
            "ListIndicators",
        ],
        Who::Any(&[Reporter, Reviewer, Analyst, Admin]),
    ),
    (
        "RegistryService",
        &["RegisterUnits", "RecordUnitEvents", "DefineIndicators", "DefineTerms", "DefineForms"],
        Who::Whole(&[Admin]),
    ),
    ("IngestService", &["SubmitReport", "SubmitReports", "WithdrawReport"], Who::Any(&[Reporter, Admin])),
    (
        "IngestService",
        &["GetReport", "ListReports", "ListReportVersions", "CompareReportVersions", "ListFindings"],
        Who::Any(&[Reporter, Reviewer, Admin]),
    ),
    ("FeedService", &["Follow"], Who::Whole(&[Replica, Admin])),
    (
        "QueryService",
        &["GetUnit", "FindUnits", "ListDuties", "GetCompleteness"],
        Who::Any(&[Reporter, Reviewer, Analyst, Admin]),
    ),
    (
        "QueryService",
        &[
            "GetShare",
            "Aggregate",
            "GetSeries",
            "Rank",
            "GetDistribution",
            "Compare",
            "GetAvailability",
            "Explain",
            "Watch",
            "Export",
            "VerifyCitation",
            "ListObservations",
        ],
        Who::Any(&[Reviewer, Analyst, Admin]),
    ),
];

/// What is known of a method.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Who may call it.
    pub(super) who: Who,
    /// It changes something, so the log says who did.
    pub(super) writes: bool,
    /// It answers with a stream.
    pub(super) is_stream: bool,
}

impl Rule {
    /// Whether that caller may make the call at all. About which units is the handler's matter.
    pub(super) fn admits(&self, caller: &Caller) -> bool {
        match self.who {
            Who::Any(roles) => has_any(caller, roles),
            Who::Whole(roles) => has_any(caller, roles) && caller.scope.is_everything(),
        }
    }
}

fn has_any(caller: &Caller, roles: &[Role]) -> bool {
    roles.iter().any(|role| caller.roles.contains(role))
}

/// The rule of each method by its path.
pub(super) type Rules = HashMap<String, Rule>;

/// The rules of every method of the API that has one.
///
/// # Panics
/// If the descriptors cannot be read: the build is broken.
pub(super) fn of_the_api() -> Rules {
    let files = FileDescriptorSet::decode(proto::v1::FILE_DESCRIPTOR_SET);
    let files = files.expect("the build publishes readable descriptors").file;
    let mut rules = Rules::new();
    for file in &files {
        for service in &file.service {
            for method in &service.method {
                let of_method = |(of, methods, _): &&(&str, &[&str], Who)| {
                    service.name() == *of && methods.contains(&method.name())
                };
                let Some((.., who)) = TABLE.iter().find(of_method) else { continue };
                let is_write = |prefix: &&str| method.name().starts_with(*prefix);
                let writes = ["Register", "Record", "Define", "Submit", "Withdraw"].iter().any(is_write);
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                rules.insert(path, Rule { who: *who, writes, is_stream: method.server_streaming() });
            }
        }
    }
    rules
}

/// Calls that tell nothing of what is stored: whether a service lives, and what can be asked of it.
pub(super) fn is_open(path: &str) -> bool {
    ["/grpc.health.v1.Health/", "/grpc.reflection."].iter().any(|open| path.starts_with(open))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::Scope;

    #[test]
    fn every_method_has_a_rule_and_every_row_a_method() {
        let rules = of_the_api();
        let files = FileDescriptorSet::decode(proto::v1::FILE_DESCRIPTOR_SET).unwrap().file;
        let mut paths = Vec::new();
        for file in &files {
            for service in &file.service {
                let path = |method: &prost_types::MethodDescriptorProto| {
                    format!("/{}.{}/{}", file.package(), service.name(), method.name())
                };
                paths.extend(service.method.iter().map(path));
            }
        }
        for path in &paths {
            assert!(rules.contains_key(path), "{path} has no rule: say who may call it");
        }
        let rows: usize = TABLE.iter().map(|(_, methods, _)| methods.len()).sum();
        assert_eq!(rows, paths.len(), "a row names a method that is not there, or one twice");
    }

    #[test]
    fn who_keeps_the_register_or_follows_sees_everything() {
        let rules = of_the_api();
        let caller = |role: Role, scope: Scope| Caller { roles: [role].into(), scope, ..Caller::nobody() };
        let part = || Scope::of_list(&["a"]).unwrap();
        for (path, role, by_part) in [
            ("/tonghop.v1.RegistryService/RegisterUnits", Admin, false),
            ("/tonghop.v1.FeedService/Follow", Replica, false),
            ("/tonghop.v1.IngestService/SubmitReport", Reporter, true),
            ("/tonghop.v1.QueryService/GetShare", Analyst, true),
        ] {
            assert!(rules[path].admits(&caller(role, Scope::Everything)), "{path}");
            assert_eq!(rules[path].admits(&caller(role, part())), by_part, "{path}");
            assert!(!rules[path].admits(&Caller::nobody()) && rules[path].admits(&Caller::unasked()), "{path}");
        }
        assert!(!rules["/tonghop.v1.QueryService/GetShare"].admits(&caller(Reporter, Scope::Everything)));
        assert!(!rules["/tonghop.v1.IngestService/SubmitReport"].admits(&caller(Analyst, Scope::Everything)));
    }
}
