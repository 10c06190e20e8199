//! The one table of errors: which gRPC code a reason has, whether a retry helps, what the caller can do.

use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{
    limits::{ERROR_MESSAGE_BYTES_MAX, VIOLATION_BYTES_MAX},
    metrics::METRICS,
    model::fault::{Fault, Reason, Violation},
};

/// The domain of `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "tonghop";

/// What the caller can do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call will be refused again.
    No,
    /// The same call may succeed after that time.
    After(Duration),
}

impl Reason {
    /// The name that stands in `google.rpc.ErrorInfo.reason`.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The gRPC code.
    pub fn code(self) -> Code {
        self.row().1
    }

    /// Whether the same call may succeed later.
    pub fn retry(self) -> Retry {
        match self {
            Self::CatchingUp | Self::Overloaded | Self::StreamExpired | Self::StreamQuotaReached => {
                Retry::After(Duration::from_millis(200))
            }
            Self::NotYetVisible | Self::ShuttingDown | Self::SlowConsumer | Self::StorageFailed => {
                Retry::After(Duration::from_secs(1))
            }
            Self::DiskFull => Retry::After(Duration::from_secs(30)),
            _ => Retry::No,
        }
    }

    fn row(self) -> (&'static str, Code) {
        match self {
            Self::RequiredFieldMissing => ("REQUIRED_FIELD_MISSING", Code::InvalidArgument),
            Self::ConflictingFields => ("CONFLICTING_FIELDS", Code::InvalidArgument),
            Self::InvalidId => ("INVALID_ID", Code::InvalidArgument),
            Self::InvalidText => ("INVALID_TEXT", Code::InvalidArgument),
            Self::InvalidDate => ("INVALID_DATE", Code::InvalidArgument),
            Self::InvalidPeriod => ("INVALID_PERIOD", Code::InvalidArgument),
            Self::InvalidDecimal => ("INVALID_DECIMAL", Code::InvalidArgument),
            Self::InvalidUuid => ("INVALID_UUID", Code::InvalidArgument),
            Self::InvalidNumber => ("INVALID_NUMBER", Code::InvalidArgument),
            Self::InvalidCurrency => ("INVALID_CURRENCY", Code::InvalidArgument),
            Self::InvalidEnumValue => ("INVALID_ENUM_VALUE", Code::InvalidArgument),
            Self::InvalidDefinition => ("INVALID_DEFINITION", Code::InvalidArgument),
            Self::InvalidEvent => ("INVALID_EVENT", Code::InvalidArgument),
            Self::InvalidStep => ("INVALID_STEP", Code::InvalidArgument),
            Self::InvalidCitation => ("INVALID_CITATION", Code::InvalidArgument),
            Self::InvalidResumeToken => ("INVALID_RESUME_TOKEN", Code::InvalidArgument),
            Self::PeriodRequired => ("PERIOD_REQUIRED", Code::InvalidArgument),
            Self::UnitsOverlap => ("UNITS_OVERLAP", Code::InvalidArgument),
            Self::RowNotFound => ("ROW_NOT_FOUND", Code::NotFound),
            Self::ResumeTokenExpired => ("RESUME_TOKEN_EXPIRED", Code::OutOfRange),
            Self::InvalidPageToken => ("INVALID_PAGE_TOKEN", Code::InvalidArgument),
            Self::MalformedMessage => ("MALFORMED_MESSAGE", Code::InvalidArgument),
            Self::TooMany => ("TOO_MANY", Code::InvalidArgument),
            Self::TooLarge => ("TOO_LARGE", Code::InvalidArgument),
            Self::DuplicateId => ("DUPLICATE_ID", Code::InvalidArgument),
            Self::DuplicateObservation => ("DUPLICATE_OBSERVATION", Code::InvalidArgument),
            Self::UnknownUnit => ("UNKNOWN_UNIT", Code::InvalidArgument),
            Self::UnknownParent => ("UNKNOWN_PARENT", Code::InvalidArgument),
            Self::UnknownIndicator => ("UNKNOWN_INDICATOR", Code::InvalidArgument),
            Self::UnknownDimension => ("UNKNOWN_DIMENSION", Code::InvalidArgument),
            Self::UnknownCode => ("UNKNOWN_CODE", Code::InvalidArgument),
            Self::UnknownTerm => ("UNKNOWN_TERM", Code::InvalidArgument),
            Self::UnknownGroup => ("UNKNOWN_GROUP", Code::InvalidArgument),
            Self::UnitNotAlive => ("UNIT_NOT_ALIVE", Code::InvalidArgument),
            Self::ParentNotAlive => ("PARENT_NOT_ALIVE", Code::InvalidArgument),
            Self::ConflictingEvents => ("CONFLICTING_EVENTS", Code::InvalidArgument),
            Self::MergedIntoItself => ("MERGED_INTO_ITSELF", Code::InvalidArgument),
            Self::UnknownForm => ("UNKNOWN_FORM", Code::InvalidArgument),
            Self::SecondRoot => ("SECOND_ROOT", Code::InvalidArgument),
            Self::HierarchyCycle => ("HIERARCHY_CYCLE", Code::InvalidArgument),
            Self::LevelNotBelowParent => ("LEVEL_NOT_BELOW_PARENT", Code::InvalidArgument),
            Self::WrongValueKind => ("WRONG_VALUE_KIND", Code::InvalidArgument),
            Self::NumeratorAboveDenominator => ("NUMERATOR_ABOVE_DENOMINATOR", Code::InvalidArgument),
            Self::ZeroDenominator => ("ZERO_DENOMINATOR", Code::InvalidArgument),
            Self::PercentOutOfRange => ("PERCENT_OUT_OF_RANGE", Code::InvalidArgument),
            Self::QualifierNotAllowed => ("QUALIFIER_NOT_ALLOWED", Code::InvalidArgument),
            Self::MeasureNotAllowed => ("MEASURE_NOT_ALLOWED", Code::InvalidArgument),
            Self::SeveralViolations => ("SEVERAL_VIOLATIONS", Code::InvalidArgument),
            Self::UnitNotFound => ("UNIT_NOT_FOUND", Code::NotFound),
            Self::IndicatorNotFound => ("INDICATOR_NOT_FOUND", Code::NotFound),
            Self::FormNotFound => ("FORM_NOT_FOUND", Code::NotFound),
            Self::ReportNotFound => ("REPORT_NOT_FOUND", Code::NotFound),
            Self::ExistsWithDifferentContent => ("EXISTS_WITH_DIFFERENT_CONTENT", Code::AlreadyExists),
            Self::KeyReusedDifferentContent => ("KEY_REUSED_DIFFERENT_CONTENT", Code::AlreadyExists),
            Self::ReportIdentityTaken => ("REPORT_IDENTITY_TAKEN", Code::AlreadyExists),
            Self::RevisionConflict => ("REVISION_CONFLICT", Code::Aborted),
            Self::AlreadyWithdrawn => ("ALREADY_WITHDRAWN", Code::FailedPrecondition),
            Self::StoreMismatch => ("STORE_MISMATCH", Code::FailedPrecondition),
            Self::HistoryTruncated => ("HISTORY_TRUNCATED", Code::FailedPrecondition),
            Self::HistoryDiverged => ("HISTORY_DIVERGED", Code::FailedPrecondition),
            Self::FutureRevision => ("FUTURE_REVISION", Code::OutOfRange),
            Self::CatchingUp => ("CATCHING_UP", Code::Unavailable),
            Self::NotYetVisible => ("NOT_YET_VISIBLE", Code::Unavailable),
            Self::ShuttingDown => ("SHUTTING_DOWN", Code::Unavailable),
            Self::SlowConsumer => ("SLOW_CONSUMER", Code::Unavailable),
            Self::StorageFailed => ("STORAGE_FAILED", Code::Unavailable),
            Self::StreamExpired => ("STREAM_EXPIRED", Code::Unavailable),
            Self::StreamQuotaReached => ("STREAM_QUOTA_REACHED", Code::ResourceExhausted),
            Self::Overloaded => ("OVERLOADED", Code::ResourceExhausted),
            Self::DiskFull => ("DISK_FULL", Code::ResourceExhausted),
            Self::DataCorrupt => ("DATA_CORRUPT", Code::DataLoss),
            Self::DeadlineExceeded => ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
            Self::Unauthenticated => ("UNAUTHENTICATED", Code::Unauthenticated),
            Self::PermissionDenied => ("PERMISSION_DENIED", Code::PermissionDenied),
            Self::UnknownMethod => ("UNKNOWN_METHOD", Code::Unimplemented),
            Self::UnsupportedEncoding => ("UNSUPPORTED_ENCODING", Code::Unimplemented),
            Self::Internal => ("INTERNAL", Code::Internal),
        }
    }
}

/// The status of a fault, with `ErrorInfo` always, `BadRequest` where fields are at fault and `RetryInfo` where a retry
/// helps.
pub fn status(fault: &Fault) -> Status {
    METRICS.refusals.get_or_create(&[("reason", fault.reason.name())]).inc();
    let mut details = ErrorDetails::new();
    let metadata: std::collections::HashMap<String, String> =
        fault.metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    details.set_error_info(fault.reason.name(), ERROR_DOMAIN, metadata);
    if !fault.violations.is_empty() {
        details.set_bad_request(field_violations(&fault.violations, fault.unlisted));
    }
    let Retry::After(delay) = fault.reason.retry() else {
        return Status::with_error_details(fault.reason.code(), cut(&fault.message), details);
    };
    // Else those who were refused together come back together.
    let delay = rand::random_range(delay / 2..=delay * 3 / 2);
    details.set_retry_info(Some(delay));
    let mut status = Status::with_error_details(fault.reason.code(), cut(&fault.message), details);
    if fault.reason == Reason::Overloaded {
        // What gRPC libraries with a retry policy look at (gRFC A6).
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        status.metadata_mut().insert("grpc-retry-pushback-ms", millis.into());
    }
    status
}

/// The same status as a message of its own, where it is one part of an answer.
pub fn status_message(fault: &Fault) -> tonic_types::Status {
    let status = status(fault);
    // The details of a status are the whole of it, encoded.
    tonic_types::Status::decode(status.details()).unwrap_or_else(|_| tonic_types::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

/// A message that fits into a header, where every byte that is not printable ASCII takes three.
fn cut(message: &str) -> String {
    let mut bytes = 0;
    let fits = |c: &char| {
        bytes += if c.is_ascii_graphic() || *c == ' ' { 1 } else { 3 * c.len_utf8() };
        bytes <= ERROR_MESSAGE_BYTES_MAX
    };
    let start: String = message.chars().take_while(fits).collect();
    if start.len() < message.len() { start + "…" } else { start }
}

/// The violations up to the limit of bytes; a last one counts the rest.
fn field_violations(violations: &[Violation], unlisted: usize) -> Vec<FieldViolation> {
    let mut listed: Vec<FieldViolation> = Vec::new();
    let mut bytes = 0;
    for violation in violations {
        let mut field = FieldViolation::new(cut(&violation.path), cut(&violation.message));
        field.reason = violation.reason.name().to_owned();
        bytes += field.field.len() + field.description.len() + field.reason.len();
        if bytes > VIOLATION_BYTES_MAX {
            break;
        }
        listed.push(field);
    }
    let rest = violations.len() + unlisted - listed.len();
    if rest > 0 {
        listed.push(FieldViolation::new("", format!("and {rest} more violations that are not listed")));
    }
    listed
}

/// The reason that a status carries, if it is one of ours.
pub fn reason_name(status: &Status) -> Option<String> {
    status.get_details_error_info().filter(|info| info.domain == ERROR_DOMAIN).map(|info| info.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_are_listed_up_to_the_limit_and_the_rest_is_counted() {
        let violation = |index| Violation {
            path: format!("report.observations[{index}].count"),
            reason: Reason::WrongValueKind,
            message: "m".repeat(200),
        };
        let violations: Vec<_> = (0..500).map(violation).collect();
        let fault = Fault { violations, ..Fault::new(Reason::WrongValueKind, "500 violations") };
        let listed = status(&fault).get_details_bad_request().unwrap().field_violations;
        assert_eq!(listed[0].reason, "WRONG_VALUE_KIND");
        let rest = 500 - (listed.len() - 1);
        assert!(listed.len() > 10 && listed.len() < 30, "{}", listed.len());
        assert_eq!(listed.last().unwrap().description, format!("and {rest} more violations that are not listed"));
    }

    #[test]
    fn no_status_outgrows_the_headers_that_clients_accept() {
        let violation =
            |_| Violation { path: "đ".repeat(5000), reason: Reason::InvalidText, message: "\n".repeat(5000) };
        let violations: Vec<_> = (0..500).map(violation).collect();
        let fault = Fault { violations, unlisted: 7, ..Fault::new(Reason::InvalidText, "đ".repeat(100_000)) };
        let headers = status(&fault).into_http::<()>().into_parts().0.headers;
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        assert!(bytes < 8 * 1024, "{bytes}");
    }

    #[test]
    fn a_status_carries_its_reason_and_says_whether_a_retry_helps() {
        let conflict = status(&Fault::new(Reason::RevisionConflict, "m").with("current_revision", 7));
        assert_eq!(conflict.code(), Code::Aborted);
        assert_eq!(conflict.get_details_error_info().unwrap().metadata["current_revision"], "7");
        assert!(conflict.get_details_retry_info().is_none());
        let busy = status(&Fault::new(Reason::Overloaded, "m"));
        let delay = busy.get_details_retry_info().unwrap().retry_delay.unwrap();
        let pushback: u128 = busy.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!(pushback, delay.as_millis());
        assert!((100..=300).contains(&pushback));
        assert_eq!(reason_name(&busy).as_deref(), Some("OVERLOADED"));
    }
}
