//! Why something is refused: one fault with every violation found. How a reason becomes a status is `status`'s matter.

use std::fmt;

use crate::limits::VIOLATIONS_KEPT_MAX;

/// The machine-readable reason of a refusal; the same names stand in `google.rpc.ErrorInfo.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is its name in `status::Reason::name`, whose page is the README")]
pub enum Reason {
    // What is submitted or asked is at fault.
    RequiredFieldMissing,
    ConflictingFields,
    InvalidId,
    InvalidText,
    InvalidDate,
    InvalidPeriod,
    InvalidDecimal,
    InvalidUuid,
    InvalidNumber,
    InvalidCurrency,
    InvalidEnumValue,
    InvalidDefinition,
    InvalidEvent,
    InvalidPageToken,
    InvalidStep,
    InvalidCitation,
    InvalidResumeToken,
    PeriodRequired,
    UnitsOverlap,
    MalformedMessage,
    TooMany,
    TooLarge,
    DuplicateId,
    DuplicateObservation,
    UnknownUnit,
    UnknownParent,
    UnknownIndicator,
    UnknownDimension,
    UnknownCode,
    UnknownTerm,
    UnknownGroup,
    UnknownForm,
    UnitNotAlive,
    ParentNotAlive,
    ConflictingEvents,
    MergedIntoItself,
    SecondRoot,
    HierarchyCycle,
    LevelNotBelowParent,
    WrongValueKind,
    NumeratorAboveDenominator,
    ZeroDenominator,
    PercentOutOfRange,
    QualifierNotAllowed,
    MeasureNotAllowed,
    SeveralViolations,
    // What the call names is not there.
    UnitNotFound,
    IndicatorNotFound,
    FormNotFound,
    ReportNotFound,
    RowNotFound,
    // What is there already.
    ExistsWithDifferentContent,
    KeyReusedDifferentContent,
    ReportIdentityTaken,
    RevisionConflict,
    AlreadyWithdrawn,
    // The follower and the log do not fit.
    StoreMismatch,
    HistoryTruncated,
    HistoryDiverged,
    ResumeTokenExpired,
    FutureRevision,
    // Who calls is not known, or may not.
    Unauthenticated,
    PermissionDenied,
    // The service cannot answer now, or at all.
    CatchingUp,
    NotYetVisible,
    ShuttingDown,
    SlowConsumer,
    StreamExpired,
    StreamQuotaReached,
    Overloaded,
    DiskFull,
    StorageFailed,
    DataCorrupt,
    DeadlineExceeded,
    UnknownMethod,
    UnsupportedEncoding,
    Internal,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the request, such as `report.observations[2].ratio.denominator`.
    pub path: String,
    /// What is wrong with it.
    pub reason: Reason,
    /// The same for a person, with what to do.
    pub message: String,
}

/// A refusal. Nothing was written, unless the reason says that this is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Why.
    pub reason: Reason,
    /// The same for a person.
    pub message: String,
    /// Each single violation; empty where the fault is not about fields.
    pub violations: Vec<Violation>,
    /// How many more there are that are not kept.
    pub unlisted: usize,
    /// Facts for a program, such as the current revision.
    pub metadata: Vec<(&'static str, String)>,
}

impl Fault {
    /// A fault that is not about fields.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), violations: Vec::new(), unlisted: 0, metadata: Vec::new() }
    }

    /// A fault of one field.
    pub fn at(path: impl Into<String>, reason: Reason, message: impl Into<String>) -> Self {
        let mut violations = Violations::default();
        violations.add(path, reason, message);
        violations.into_fault()
    }

    /// Adds a fact for a program.
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// Collects violations, so that a caller hears of all of them at once. Keeps the first ones and counts the rest.
#[derive(Debug, Default)]
pub struct Violations {
    kept: Vec<Violation>,
    unlisted: usize,
}

impl Violations {
    /// Notes one.
    pub fn add(&mut self, path: impl Into<String>, reason: Reason, message: impl Into<String>) {
        if self.kept.len() < VIOLATIONS_KEPT_MAX {
            self.kept.push(Violation { path: path.into(), reason, message: message.into() });
        } else {
            self.unlisted += 1;
        }
    }

    /// Whether none was noted.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many were noted.
    pub fn len(&self) -> usize {
        self.kept.len() + self.unlisted
    }

    /// Nothing if none was noted, else the fault with all of them.
    ///
    /// # Errors
    /// The fault.
    pub fn into_result(self) -> Result<(), Fault> {
        if self.is_empty() { Ok(()) } else { Err(self.into_fault()) }
    }

    /// The fault with all of them. Its reason is theirs where they agree.
    ///
    /// # Panics
    /// If none was noted.
    pub fn into_fault(self) -> Fault {
        let count = self.len();
        let Self { kept, unlisted } = self;
        let first = kept.first().expect("a refusal has a violation");
        let reason =
            if kept.iter().all(|v| v.reason == first.reason) { first.reason } else { Reason::SeveralViolations };
        let message = match count {
            1 => format!("{}: {}", first.path, first.message),
            count => format!("{count} violations, the first at {}: {}", first.path, first.message),
        };
        Fault { reason, message, violations: kept, unlisted, metadata: Vec::new() }
    }

    /// The value if no violation was noted and there is one, else the fault.
    ///
    /// # Errors
    /// The fault.
    ///
    /// # Panics
    /// If there is neither a value nor a violation: a check returned nothing and did not say why.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Fault> {
        self.into_result()?;
        Ok(value.expect("a check that yields nothing notes a violation"))
    }
}

/// Characters of a caller's text that a message or a path repeats.
const QUOTED_CHARS_MAX: usize = 40;

/// A caller's text as a message repeats it: in quotes, escaped, and not at its full length.
pub fn quote(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(QUOTED_CHARS_MAX).collect();
    if chars.next().is_some() { format!("{start:?}…") } else { format!("{start:?}") }
}
